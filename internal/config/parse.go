package config

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// List is a comma separated list. Spaces around items and empty items go away.
type List []string

// String joins the items again.
func (l List) String() string { return strings.Join(l, ",") }

// parsers are the types that read differently from the library's defaults.
// Their errors say what is accepted.
func parsers() map[reflect.Type]env.ParserFunc {
	return map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[bool]():          func(v string) (any, error) { return parseBool(v) },
		reflect.TypeFor[int]():           func(v string) (any, error) { return parseInt(v) },
		reflect.TypeFor[time.Duration](): func(v string) (any, error) { return parseSeconds(v) },
		reflect.TypeFor[fs.FileMode]():   func(v string) (any, error) { return parseMode(v) },
		reflect.TypeFor[List]():          func(v string) (any, error) { return parseList(v), nil },
		reflect.TypeFor[Secret]():        func(v string) (any, error) { return Secret(v), nil },
		reflect.TypeFor[string]():        func(v string) (any, error) { return v, nil },
	}
}

var (
	errBool    = errors.New("one of true, yes, on, 1, false, no, off, 0")
	errInt     = errors.New("a whole number")
	errSeconds = errors.New("a number of seconds")
	errMode    = errors.New("octal permissions from 0 to 0777, such as 0600")
)

func parseBool(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "1", "true", "yes", "on":
		return true, nil
	case "0", "false", "no", "off":
		return false, nil
	default:
		return false, errBool
	}
}

func parseInt(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, errInt
	}
	return n, nil
}

// maxSeconds keeps a duration far away from an overflow: a hundred years.
const maxSeconds = 100 * 365 * 24 * 3600

// parseSeconds reads a number of seconds, with decimals, or Go's notation (2m30s).
func parseSeconds(v string) (time.Duration, error) {
	if d, err := time.ParseDuration(v); err == nil {
		return d, nil
	}
	s, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(s) || math.Abs(s) > maxSeconds {
		return 0, errSeconds
	}
	return time.Duration(s * float64(time.Second)), nil
}

func parseMode(v string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(v, "0o"), 8, 32)
	if err != nil || n > 0o777 {
		return 0, errMode
	}
	return fs.FileMode(n), nil
}

func parseList(v string) List {
	var list List
	for item := range strings.SplitSeq(v, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// normalise checks text against f's type and limits. It gives the text to keep
// (oneof words get their canonical case), or what would be accepted.
func (f field) normalise(text string) (kept, want string) {
	value, err := f.parse(text)
	if err != nil {
		return "", f.want(err.Error())
	}
	if !f.inRange(value) {
		return "", f.want(f.typeWords())
	}
	if len(f.oneOf) == 0 {
		return text, ""
	}
	words := []string{text}
	if list, ok := value.(List); ok {
		words = list
	}
	if len(words) == 0 {
		return "", f.want("")
	}
	for i, word := range words {
		canonical, ok := f.canonical(word)
		if !ok {
			return "", f.want("")
		}
		words[i] = canonical
	}
	return strings.Join(words, ","), ""
}

func (f field) canonical(word string) (string, bool) {
	for _, allowed := range f.oneOf {
		if strings.EqualFold(allowed, word) {
			return allowed, true
		}
	}
	return "", false
}

func (f field) inRange(value any) bool {
	var n float64
	switch v := value.(type) {
	case int:
		n = float64(v)
	case time.Duration:
		n = v.Seconds()
	default:
		return true
	}
	return (f.min == nil || n >= *f.min) && (f.max == nil || n <= *f.max)
}

func (f field) typeWords() string {
	if f.kind == reflect.TypeFor[time.Duration]() {
		return errSeconds.Error()
	}
	return errInt.Error()
}

// want describes what f accepts; base is the description of its type.
func (f field) want(base string) string {
	switch {
	case len(f.oneOf) > 0 && f.kind == reflect.TypeFor[List]():
		return "a comma separated list of " + strings.Join(f.oneOf, ", ")
	case len(f.oneOf) > 0:
		return "one of " + strings.Join(f.oneOf, ", ")
	case f.min != nil && f.max != nil:
		return fmt.Sprintf("%s from %v to %v", base, *f.min, *f.max)
	case f.min != nil:
		return fmt.Sprintf("%s, at least %v", base, *f.min)
	default:
		return base
	}
}
