package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/control"
)

// ctlOptions are the flags of llmctl ctl.
type ctlOptions struct {
	socket  string
	asJSON  bool
	timeout time.Duration
	every   time.Duration
}

func (c *command) ctl() *cobra.Command {
	var o ctlOptions
	cmd := &cobra.Command{
		Use:   "ctl [flags] COMMAND...",
		Short: "Look at a running server and steer it: workers, connections, reload, drain, shutdown",
		Long: `Ask the server that runs here, over its control socket.

Look:
  show all | workers | stats | listeners | config | connections | streams | dirty
  help                        what the server understands

Change:
  worker add [N]              N more workers (1)
  worker remove [N]           N fewer, at least one stays
  worker kill PID             that worker finishes its work and ends; another one takes its place
  reload                      read the configuration again and replace the workers; no request fails (HUP)
  reopen                      reopen the log files after a rotation (USR1)
  drain                       accept nothing more and stop when all work has ended, however long that takes
  shutdown [graceful|quick]   stop within GUNICORN_GRACEFUL_TIMEOUT (TERM), or at once (INT)

The socket is GUNICORN_CONTROL_SOCKET, by default gunicorn.ctl in the data folder. Who may
use it is decided by the permissions of that file. gunicornc of Gunicorn works on it too.`,
		Example: `  llmctl ctl show all
  llmctl ctl --every 2s show connections
  llmctl ctl worker add 2
  llmctl ctl --json show stats | jq .requests
  llmctl ctl --socket /run/llmctl/gunicorn.ctl reload`,
		ValidArgsFunction: completeCtl,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("say what to do, for example: llmctl ctl show all. llmctl ctl --help lists the commands")}
			}
			return c.runCtl(cmd, o, args)
		},
	}
	cmd.Flags().StringVar(&o.socket, "socket", "", "path of the control socket (default: GUNICORN_CONTROL_SOCKET)")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "the server's answer as JSON")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 15*time.Second, "how long the server may take to answer")
	cmd.Flags().DurationVar(&o.every, "every", 0, "ask again and again with this pause, until interrupted; only for show")
	return cmd
}

// completeCtl completes the words of a command.
func completeCtl(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	words := map[string][]string{
		"":       {"show", "worker", "reload", "reopen", "drain", "shutdown", "help"},
		"show":   {"all", "workers", "stats", "listeners", "config", "connections", "streams", "dirty"},
		"worker": {"add", "remove", "kill"}, "shutdown": {"graceful", "quick"},
	}
	return words[strings.Join(args, " ")], cobra.ShellCompDirectiveNoFileComp
}

func (c *command) runCtl(cmd *cobra.Command, o ctlOptions, words []string) error {
	if o.timeout <= 0 || o.every < 0 {
		return usageError{errors.New("--timeout and --every take a duration such as 2s")}
	}
	if o.every > 0 && words[0] != "show" {
		return usageError{errors.New("--every is for show only: a change should happen once")}
	}
	path, fallback := o.socket, ""
	if path == "" {
		cfg, _, err := c.load("")
		if err != nil {
			return err
		}
		if cfg.Server.ControlSocketDisable {
			return errs.E(errs.Unavailable, "control.disabled", "The control socket is switched off by GUNICORN_CONTROL_SOCKET_DISABLE. Signals work without it: HUP, TTIN, TTOU, TERM.")
		}
		path, fallback = cfg.Server.ControlSocket, control.DefaultFallback
	}
	ctx := cmd.Context()
	client, err := dialControl(ctx, path, fallback, o.timeout)
	if err != nil {
		return err
	}
	defer client.Close()
	return watch(ctx, o.every, c.edge.Stdout, func(w io.Writer) error {
		return ask(ctx, client, o, w, words)
	})
}

// dialControl tries the socket's own path, and then the one to which a server falls
// back. That one lies where everybody may write, so whose it is matters.
func dialControl(ctx context.Context, path, fallback string, timeout time.Duration) (*control.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client, err := control.Dial(ctx, path)
	if err == nil || fallback == "" || !ours(fallback) {
		return client, err
	}
	second, fallbackErr := control.Dial(ctx, fallback)
	if fallbackErr != nil {
		return nil, err // the first one is what was meant
	}
	if !trusted(second.Server().UID) {
		_ = second.Close()
		return nil, err
	}
	return second, nil
}

// ours says whether a file was made by this user or the superuser.
func ours(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && trusted(int(s.Uid))
}

func trusted(uid int) bool { return uid == 0 || uid == os.Geteuid() }

// ask asks once and writes the answer.
func ask(ctx context.Context, client *control.Client, o ctlOptions, w io.Writer, words []string) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	data, err := client.Do(ctx, words...)
	if err != nil {
		return err
	}
	failure := notDone(data)
	switch {
	case !o.asJSON && failure != nil:
		return failure
	case !o.asJSON:
		return control.Render(w, words, data)
	case failure != nil:
		failure = exitError(exitFailed) // the answer has said why
	}
	return errors.Join(control.RenderJSON(w, data), failure)
}

// notDone is the failure that an answer tells of, such as a pid that is no worker.
func notDone(data json.RawMessage) error {
	var result struct {
		Success *bool  `json:"success"`
		Error   string `json:"error"`
	}
	err := json.Unmarshal(data, &result)
	if err != nil || result.Success == nil || *result.Success {
		return nil //nolint:nilerr // an answer of another shape tells of no failure
	}
	return errs.E(errs.NotFound, "control.not_done", result.Error)
}

// watch calls f once, or again and again until ctx ends.
func watch(ctx context.Context, every time.Duration, w io.Writer, f func(w io.Writer) error) error {
	if every == 0 {
		return f(w)
	}
	erase := ""
	if isTerminal(w) {
		erase = "\x1b[H\x1b[2J" // home, and erase what is there
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		var screen strings.Builder
		switch err := f(&screen); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if _, err := fmt.Fprint(w, erase, screen.String()); err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// isTerminal says whether people read what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
