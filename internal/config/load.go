package config

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
)

// Source says where a value comes from. A later one in this list wins.
type Source string

// The sources.
const (
	SourceDefault     Source = "default"
	SourceDerived     Source = "derived"
	SourceEnvFile     Source = "env-file"
	SourceEnvironment Source = "environment"
	SourceFlag        Source = "flag"
)

// maxEnvFile is far above any sensible file.
const maxEnvFile = 1 << 20

// LoadOptions is what Load works from. Nothing else is read.
type LoadOptions struct {
	Environ   []string          // NAME=value, as of the process
	EnvFile   string            // read below the environment; empty: none
	Overrides map[string]string // from flags, by variable name; above the environment
	Role      string            // the command: up, serve, worker, ...; decides what is required
	CPUs      int               // cores, for the default number of workers; 0 counts as 1
	Hostname  string            // of this machine, for %h
	// Checks are for values whose grammar belongs to another package: by variable,
	// what is wanted instead of a value, or "" when it can be used.
	Checks map[string]func(value string) (want string)
}

// Warning is about something that was given but does nothing, or not what it
// seems to.
type Warning struct {
	Variable string
	Message  string
}

// Problem is one variable that cannot be used.
type Problem struct {
	Variable string `json:"variable"`
	Given    string `json:"given,omitempty"` // "" when nothing was given
	Want     string `json:"want"`
}

// Error holds all problems of an environment.
type Error struct{ Problems []Problem }

// Error lists the problems, one per line.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	lines = append(lines, "the configuration cannot be used:")
	for _, p := range e.Problems {
		given := "is not set"
		if p.Given != "" {
			given = fmt.Sprintf("is %q", p.Given)
		}
		lines = append(lines, fmt.Sprintf("  %s %s; want %s", p.Variable, given, p.Want))
	}
	return strings.Join(lines, "\n")
}

// Entry is one variable as it is in effect. A secret's value is a placeholder.
type Entry struct {
	Variable string `json:"variable"`
	Value    string `json:"value"`
	Source   Source `json:"source"`
	Section  string `json:"section"`
}

// Entries lists every variable in effect, in the order of the reference.
func (c *Config) Entries() []Entry { return c.entries }

// Given tells whether somebody set the variable, rather than its default.
func (c *Config) Given(variable string) bool {
	for _, e := range c.entries {
		if e.Variable == variable {
			return e.Source != SourceDefault && e.Source != SourceDerived
		}
	}
	return false
}

// loading is the state of one Load.
type loading struct {
	opts     LoadOptions
	fields   []field
	values   map[string]string // what was given, normalised
	sources  map[string]Source
	cfg      *Config
	problems []Problem
	warnings []Warning
}

// Load reads, checks and completes the configuration. A variable that is set to
// nothing counts as unset. All problems come together in an *Error; warnings
// are valid in any case.
func Load(opts LoadOptions) (*Config, []Warning, error) {
	l := &loading{
		opts: opts, fields: fields(), cfg: &Config{},
		values: map[string]string{}, sources: map[string]Source{},
	}
	if err := l.gather(); err != nil {
		return nil, nil, err
	}
	l.check()
	if err := l.fill(); err != nil {
		return nil, l.warnings, err
	}
	// Rules between variables would only repeat what is wrong with one of them.
	l.derive()
	l.rules()
	if len(l.problems) > 0 {
		return nil, l.warnings, &Error{Problems: l.problems}
	}
	l.cfg.entries = l.entries()
	return l.cfg, l.warnings, nil
}

// gather puts the sources on top of each other.
func (l *loading) gather() error {
	if l.opts.EnvFile != "" {
		file, err := readEnvFile(l.opts.EnvFile)
		if err != nil {
			return err
		}
		l.put(file, SourceEnvFile)
	}
	environ := make(map[string]string, len(l.opts.Environ))
	for _, pair := range l.opts.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok && name != "" {
			environ[name] = value
		}
	}
	l.put(environ, SourceEnvironment)
	l.put(l.opts.Overrides, SourceFlag)
	l.dropServiceLinks()
	l.warnUnknown()
	return nil
}

// Environment gives the environment with the env file below it and the flags above
// it, as NAME=value: what a child process reads is then what was read here, whatever
// becomes of the file.
func Environment(opts LoadOptions) ([]string, error) {
	merged := map[string]string{}
	if opts.EnvFile != "" {
		file, err := readEnvFile(opts.EnvFile)
		if err != nil {
			return nil, err
		}
		maps.Copy(merged, file)
	}
	for _, pair := range opts.Environ {
		// A variable that is set to nothing counts as unset and hides nothing.
		if name, value, ok := strings.Cut(pair, "="); ok && name != "" && (value != "" || merged[name] == "") {
			merged[name] = value
		}
	}
	maps.Copy(merged, opts.Overrides)
	out := make([]string, 0, len(merged))
	for name, value := range merged {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out, nil
}

func (l *loading) put(values map[string]string, source Source) {
	for name, value := range values {
		if value != "" {
			l.values[name], l.sources[name] = value, source
		}
	}
}

func readEnvFile(path string) (map[string]string, error) {
	wrong := func(why string) error {
		return &Error{Problems: []Problem{{Variable: "--env-file", Given: path, Want: why}}}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, wrong("a file that can be read (" + errorText(err) + ")")
	}
	if !info.Mode().IsRegular() || info.Size() > maxEnvFile {
		return nil, wrong("a regular file of at most 1 MiB")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, wrong("a file that can be read (" + errorText(err) + ")")
	}
	values, err := godotenv.Parse(bytes.NewReader(text))
	if err != nil {
		// The library's message quotes the file, which may hold a password.
		return nil, wrong("lines of the form NAME=value")
	}
	return values, nil
}

func errorText(err error) string {
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+1:]
}

// serviceLink is what Kubernetes sets for a service of the namespace. A service
// called llmctl-postgres makes LLMCTL_POSTGRES_PORT=tcp://10.0.0.7:5432.
var serviceLink = regexp.MustCompile(`^(tcp|udp|sctp)://[^/]+:\d+$`)

// dropServiceLinks removes variables that Kubernetes made of a service and that
// happen to have one of our names, so that such a service cannot break a start.
func (l *loading) dropServiceLinks() {
	for _, f := range l.fields {
		base, isPort := strings.CutSuffix(f.name, "_PORT")
		if isPort && l.values[base+"_SERVICE_HOST"] != "" && serviceLink.MatchString(l.values[f.name]) {
			delete(l.values, f.name)
			delete(l.sources, f.name)
		}
	}
}

// check looks at every given value by itself.
func (l *loading) check() {
	for _, f := range l.fields {
		text, ok := l.values[f.name]
		if !ok {
			continue
		}
		kept, want := f.normalise(text)
		if want != "" {
			l.problem(f.name, want)
			delete(l.values, f.name) // so that the rest can still be checked
			continue
		}
		l.values[f.name] = kept
	}
}

// fill sets the fields of cfg to what was given, else to their defaults.
func (l *loading) fill() error {
	err := env.ParseWithOptions(l.cfg, env.Options{
		Environment: l.values, DefaultValueTagName: "default", FuncMap: parsers(),
	})
	if err != nil {
		return fmt.Errorf("fill the configuration: %w", err)
	}
	return nil
}

// problem records that the value of a variable cannot be used.
func (l *loading) problem(name, want string) {
	given := l.values[name]
	for _, f := range l.fields {
		if f.name == name && f.secret() && given != "" {
			given = redacted
		}
	}
	l.problems = append(l.problems, Problem{Variable: name, Given: given, Want: want})
}

// complained says whether a variable's problem is known already.
func (l *loading) complained(name string) bool {
	for _, p := range l.problems {
		if p.Variable == name {
			return true
		}
	}
	return false
}

func (l *loading) given(name string) bool {
	return l.sources[name] != "" && l.sources[name] != SourceDerived
}

func (l *loading) entries() []Entry {
	entries := make([]Entry, 0, len(l.fields))
	root := reflect.ValueOf(l.cfg).Elem()
	for _, f := range l.fields {
		source := l.sources[f.name]
		if source == "" {
			source = SourceDefault
		}
		entries = append(entries, Entry{
			Variable: f.name, Value: show(root.FieldByIndex(f.index)), Source: source, Section: f.section,
		})
	}
	return entries
}
