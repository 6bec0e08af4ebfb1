package schedule

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// maxCron bounds an expression's text.
const maxCron = 200

// Expression is a cron expression.
type Expression struct {
	text                           string
	minute, hour, day, month, week uint64 // bit n: the value n
	anyDay, anyWeekday             bool   // the field contains a star
}

// String is the expression with single spaces.
func (e Expression) String() string { return e.text }

// field is one of the five.
type field struct {
	name     string
	min, max int
	names    []string // of the values from min on, if they have any
	accepted string
}

func fields() [5]field {
	const forms = ", a range such as 1-5, a step such as */15, or a list of those"
	return [5]field{
		{name: "minute", min: 0, max: 59, accepted: "*, 0-59" + forms},
		{name: "hour", min: 0, max: 23, accepted: "*, 0-23" + forms},
		{name: "day of month", min: 1, max: 31, accepted: "*, 1-31" + forms},
		{
			name: "month", min: 1, max: 12, accepted: "*, 1-12 or JAN-DEC" + forms,
			names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"},
		},
		{
			name: "day of week", min: 0, max: 7, accepted: "*, 0-7 or SUN-SAT (0 and 7 are Sunday)" + forms,
			names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"},
		},
	}
}

// shorthand is what a word stands for.
func shorthand(word string) (string, bool) {
	short := map[string]string{
		"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
		"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
	}
	full, ok := short[strings.ToLower(word)]
	return full, ok
}

// invalidCron is the error of an expression, at the field cron.
func invalidCron(format string, args ...any) error {
	return errs.E(errs.Invalid, "schedule.invalid_cron", "The cron expression cannot be used.",
		errs.Detail{Location: "body.cron", Message: fmt.Sprintf(format, args...)})
}

// ParseCron reads five fields (minute, hour, day of month, month, day of week) or
// one of @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly.
// Error: invalid (schedule.invalid_cron), which names the field, what was given
// and what is accepted.
func ParseCron(text string) (Expression, error) {
	if len(text) > maxCron {
		return Expression{}, invalidCron("has %d characters; at most %d are accepted", len(text), maxCron)
	}
	parts := strings.Fields(text)
	e := Expression{text: strings.Join(parts, " ")}
	if len(parts) == 1 && strings.HasPrefix(parts[0], "@") {
		full, ok := shorthand(parts[0])
		if !ok {
			return Expression{}, invalidCron("is %q; of the words, @yearly, @monthly, @weekly, @daily and @hourly are accepted", parts[0])
		}
		parts = strings.Fields(full)
	}
	if len(parts) != 5 {
		return Expression{}, invalidCron("has %d fields; accepted are five (minute, hour, day of month, month, day of week), or @daily and its like", len(parts))
	}
	for i, f := range fields() {
		set, err := f.parse(parts[i])
		if err != nil {
			return Expression{}, err
		}
		*[]*uint64{&e.minute, &e.hour, &e.day, &e.month, &e.week}[i] = set
	}
	e.week = e.week&0x7f | e.week>>7 // 7 is Sunday as well
	e.anyDay, e.anyWeekday = strings.Contains(parts[2], "*"), strings.Contains(parts[4], "*")
	if !e.everHappens() {
		return Expression{}, invalidCron("is %q, a day that no month has", e.text)
	}
	return e, nil
}

// parse reads a list of values, ranges and steps.
func (f field) parse(text string) (uint64, error) {
	var set uint64
	for part := range strings.SplitSeq(text, ",") {
		one, ok := f.parsePart(part)
		if !ok {
			given := strconv.Quote(text)
			if part != text {
				given = strconv.Quote(part) + " in " + given
			}
			return 0, invalidCron("%s is %s; accepted are %s", f.name, given, f.accepted)
		}
		set |= one
	}
	return set, nil
}

func (f field) parsePart(part string) (uint64, bool) {
	base, stepText, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		var ok bool
		if step, ok = number(stepText); !ok || step < 1 || step > f.max {
			return 0, false
		}
	}
	from, to, ok := f.bounds(base, stepped)
	if !ok {
		return 0, false
	}
	var set uint64
	for v := from; v <= to; v += step {
		set |= 1 << v
	}
	return set, true
}

// bounds reads *, a value or a range; a value with a step means "from there on".
func (f field) bounds(base string, stepped bool) (from, to int, ok bool) {
	if base == "*" {
		return f.min, f.top(), true
	}
	first, last, ranged := strings.Cut(base, "-")
	if from, ok = f.value(first); !ok {
		return 0, 0, false
	}
	switch {
	case ranged:
		to, ok = f.value(last)
		return from, to, ok && from <= to
	case stepped:
		return from, max(from, f.top()), true
	}
	return from, from, true
}

// top is the last value that a star means: 7 and 0 are the same day.
func (f field) top() int {
	if f.max == 7 {
		return 6
	}
	return f.max
}

func (f field) value(text string) (int, bool) {
	if i := slices.Index(f.names, strings.ToUpper(text)); i >= 0 {
		return i + f.min, true
	}
	n, ok := number(text)
	return n, ok && n >= f.min && n <= f.max
}

// number reads digits only: no sign, no space.
func number(text string) (int, bool) {
	if text == "" || len(text) > 4 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// everyHour tells whether the expression follows elapsed time; see the package
// comment.
func (e Expression) everyHour() bool { return e.hour == 1<<24-1 }

// everHappens tells whether there is a day that fits at all.
func (e Expression) everHappens() bool {
	if !e.anyWeekday && !e.anyDay {
		return true // either will do, and every weekday comes
	}
	longest := [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for m, days := range longest {
		if e.month&(1<<(m+1)) != 0 && bits.TrailingZeros64(e.day) <= days {
			return true
		}
	}
	return false
}
