package app

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/serving/accesslog"
	"github.com/llmctl/studio/internal/serving/logfile"
)

// Variables of the logs, for problems with them.
const (
	errorLogVariable  = "GUNICORN_ERROR_LOG"
	accessLogVariable = "GUNICORN_ACCESS_LOG"
	formatVariable    = "GUNICORN_ACCESS_LOG_FORMAT"
)

// logs are the log files of a process that serves or works.
type logs struct {
	mu     sync.Mutex
	errors *logfile.File
	access *logfile.File // nil: this process serves nothing
}

// start is load for a process that stays: it opens the logs that the configuration
// names, and the logger writes there. What cannot be opened is reported as problems
// of the configuration, before anything else is done.
func (c *command) start(role string) (*config.Config, *slog.Logger, error) {
	cfg, log, err := c.load(role)
	if err != nil {
		return nil, nil, err
	}
	opened, err := c.openLogs(cfg, role)
	if err != nil {
		return nil, nil, err
	}
	c.logs = opened
	if cfg.Server.ErrorLog != logfile.Standard {
		log = newLogger(opened.errors, cfg.Server.LogLevel)
	}
	return cfg, log, nil
}

// openLogs opens them, or says all that is wrong with them.
func (c *command) openLogs(cfg *config.Config, role string) (*logs, error) {
	var problems []config.Problem
	open := func(variable, path string) *logfile.File {
		standard := c.edge.Stderr
		if variable == accessLogVariable {
			standard = c.edge.Stdout
		}
		file, err := logfile.Open(path, standard)
		if e, ok := errors.AsType[*logfile.Error](err); ok {
			problems = append(problems, config.Problem{Variable: variable, Given: path, Want: e.Want})
		}
		return file
	}
	l := &logs{errors: open(errorLogVariable, cfg.Server.ErrorLog)}
	if role == config.RoleServe || role == config.RoleUp {
		l.access = open(accessLogVariable, cfg.Server.AccessLog)
	}
	if len(problems) > 0 {
		l.close()
		return nil, &config.Error{Problems: problems}
	}
	return l, nil
}

// checkLogs tells whether the logs of a configuration that is to come could be opened.
func (c *command) checkLogs(cfg *config.Config, role string) error {
	l, err := c.openLogs(cfg, role)
	if err == nil {
		l.close()
	}
	return err
}

func (l *logs) close() {
	for _, f := range []*logfile.File{l.errors, l.access} {
		if f != nil {
			_ = f.Close() // nothing was written that could be lost
		}
	}
}

// reopen opens the files anew after a rotation. One that cannot be opened goes on as
// it was, and its log says so.
func (l *logs) reopen(log *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range []*logfile.File{l.errors, l.access} {
		if f == nil {
			continue
		}
		if err := f.Reopen(); err != nil {
			log.Error("log file is not reopened", "path", f.Path(), "error", err)
		} else if f.Path() != logfile.Standard {
			log.Info("log file is reopened", "path", f.Path())
		}
	}
}

// accessLog writes a line for each request: Gunicorn's format for people at a terminal
// and where one was asked for, else JSON. nil: lines go to the program's log, which
// is what llmctl up does unless an access log is asked for.
func (c *command) accessLog(cfg *config.Config, role string, log *slog.Logger) (*accesslog.Log, error) {
	asked := cfg.Given(accessLogVariable) || cfg.Given(formatVariable)
	if c.logs == nil || c.logs.access == nil || role == config.RoleUp && !asked {
		return nil, nil //nolint:nilnil // nil is an answer: there is none
	}
	var format *accesslog.Format
	terminal := cfg.Server.AccessLog == logfile.Standard && isTerminal(c.edge.Stdout)
	if terminal || cfg.Given(formatVariable) {
		var err error
		if format, err = accesslog.Compile(cfg.Server.AccessLogFormat); err != nil {
			return nil, err
		}
	}
	return accesslog.New(accesslog.Options{Out: c.logs.access, Format: format, Logger: log, Now: c.edge.Now}), nil
}

// checks are those of values whose grammar other packages know.
func checks() map[string]func(string) string {
	return map[string]func(string) string{formatVariable: func(value string) string {
		_, err := accesslog.Compile(value)
		if e, ok := errors.AsType[*accesslog.FormatError](err); ok {
			return e.Want
		}
		return ""
	}}
}
