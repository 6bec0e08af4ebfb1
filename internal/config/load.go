package config

import (
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joho/godotenv"
)

// Source is where a value came from.
type Source string

// The sources, weakest first.
const (
	FromDefault Source = "default"
	FromFile    Source = "env-file"
	FromEnv     Source = "environment"
	FromFlag    Source = "flag"
)

// LoadOptions say where values come from.
type LoadOptions struct {
	Environ []string          // "NAME=value", as os.Environ gives it
	EnvFile string            // read below the environment; empty: none
	Flags   map[string]string // variable to value, above everything
}

// Problem is a variable that cannot be used as it is.
type Problem struct {
	Variable string `json:"variable"`
	Message  string `json:"message"`
}

// Problems is the error of Load: all of them.
type Problems []Problem //nolint:errname // it reads as what it is

// Error lists them, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Variable + ": " + one.Message
	}
	return "the configuration cannot be used:\n  " + strings.Join(lines, "\n  ")
}

// variable is a field with its tags.
type variable struct {
	name, fallback, doc, oneof, least, group string
	value                                    reflect.Value
}

// Load reads the configuration. The warnings name variables with our prefixes
// that nothing reads. The error is Problems.
func Load(o LoadOptions) (*Config, []string, error) {
	c := &Config{Sources: map[string]Source{}}
	c.variables = variablesOf(c)
	given, problems := collect(o)
	for _, v := range c.variables {
		text, source := v.fallback, FromDefault
		if g, ok := given[v.name]; ok {
			text, source = g.text, g.source
		}
		c.Sources[v.name] = source
		if text == "" {
			continue
		}
		if err := v.set(text); err != nil {
			problems = append(problems, Problem{Variable: v.name, Message: err.Error()})
		}
	}
	warnings := unknown(given, c.variables)
	if len(problems) > 0 {
		return nil, warnings, problems
	}
	return c, warnings, nil
}

type givenValue struct {
	text   string
	source Source
}

func collect(o LoadOptions) (map[string]givenValue, Problems) {
	given := map[string]givenValue{}
	var problems Problems
	if o.EnvFile != "" {
		file, err := readFile(o.EnvFile)
		if err != nil {
			problems = append(problems, Problem{Variable: "--env-file", Message: err.Error()})
		}
		for k, v := range file {
			given[k] = givenValue{v, FromFile}
		}
	}
	for _, pair := range o.Environ {
		if k, v, ok := strings.Cut(pair, "="); ok && v != "" {
			given[k] = givenValue{v, FromEnv}
		}
	}
	for k, v := range o.Flags {
		given[k] = givenValue{v, FromFlag}
	}
	return given, problems
}

func readFile(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	const most = 1 << 20
	values, err := godotenv.Parse(io.LimitReader(f, most))
	if err != nil {
		return nil, fmt.Errorf("%s is not a list of NAME=value lines: %w", name, err)
	}
	return values, nil
}

func variablesOf(c *Config) []variable {
	var out []variable
	root := reflect.ValueOf(c).Elem()
	for i := range root.NumField() {
		group := root.Field(i)
		if group.Kind() != reflect.Struct {
			continue
		}
		for j := range group.NumField() {
			f := group.Type().Field(j)
			out = append(out, variable{
				name: f.Tag.Get("env"), fallback: f.Tag.Get("default"), doc: f.Tag.Get("doc"), oneof: f.Tag.Get("oneof"),
				least: f.Tag.Get("min"), group: root.Type().Field(i).Name, value: group.Field(j),
			})
		}
	}
	return out
}

// set parses a value into the field.
func (v *variable) set(text string) error {
	switch p := v.value.Addr().Interface().(type) {
	case *string:
		if err := v.check(text); err != nil {
			return err
		}
		*p = text
	case *Secret:
		*p = Secret(text)
	case *bool:
		b, err := parseBool(text)
		*p = b
		return err
	case **bool:
		b, err := parseBool(text)
		*p = &b
		return err
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("is %q; a whole number is accepted", text)
		}
		*p = n
		return v.atLeast(float64(n), text)
	case *Seconds:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("is %q; a number of seconds is accepted", text)
		}
		*p = Seconds(f * float64(time.Second))
		return v.atLeast(f, text)
	case *[]string:
		return v.setList(p, text)
	default:
		return fmt.Errorf("has a type that cannot be read: %T", p)
	}
	return nil
}

func (v *variable) setList(p *[]string, text string) error {
	*p = nil
	for one := range strings.SplitSeq(text, ",") {
		one = strings.TrimSpace(one)
		if one == "" {
			continue
		}
		if err := v.check(one); err != nil {
			return err
		}
		*p = append(*p, one)
	}
	return nil
}

func (v *variable) check(text string) error {
	if v.oneof == "" || slices.Contains(strings.Split(v.oneof, ","), text) {
		return nil
	}
	return fmt.Errorf("is %q; accepted are %s", text, strings.ReplaceAll(v.oneof, ",", ", "))
}

func (v *variable) atLeast(f float64, text string) error {
	if v.least == "" {
		return nil
	}
	if least, err := strconv.ParseFloat(v.least, 64); err == nil && f < least {
		return fmt.Errorf("is %s; %s or more is accepted", text, v.least)
	}
	return nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "1", "true", "yes", "on":
		return true, nil
	case "0", "false", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("is %q; accepted are 1, true, yes, on and 0, false, no, off", text)
}

// unknown names variables with our prefixes that nothing reads.
func unknown(given map[string]givenValue, known []variable) []string {
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !strings.HasPrefix(name, "LLMCTL_") && !strings.HasPrefix(name, "GUNICORN_") {
			continue
		}
		best, distance := "", len(name)
		isKnown := strings.HasPrefix(name, "LLMCTL_TEST_") || strings.HasPrefix(name, "LLMCTL_EXECUTOR_")
		for _, v := range known {
			if v.name == name {
				isKnown = true
			}
			if d := editDistance(name, v.name); d < distance {
				best, distance = v.name, d
			}
		}
		if !isKnown {
			warnings = append(warnings, fmt.Sprintf("%s is set, but nothing reads it; did you mean %s?", name, best))
		}
	}
	return warnings
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
