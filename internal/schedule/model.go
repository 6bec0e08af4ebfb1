package schedule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/schedule/dbsqlc"
)

// What a schedule starts.
const (
	TargetFlowchart = "flowchart"  // a run of it
	TargetSource    = "rag_source" // an index run of it
)

// What becomes of the times that nobody was there to fire.
const (
	MissedSkip    = "skip"     // they are noted
	MissedCatchUp = "catch_up" // the newest ones are fired late, up to a limit; the others are noted
)

// What becomes of a time at which the schedule's last run still runs.
const (
	OverlapAllow = "allow" // another run beside it
	OverlapSkip  = "skip"  // it is noted
)

// Why a firing happened.
const (
	OriginDue     = "due"
	OriginCatchUp = "catch_up"
	OriginManual  = "manual"
)

// What became of a firing.
const (
	OutcomeStarted = "started"
	OutcomeSkipped = "skipped" // the last run still ran
	OutcomeMissed  = "missed"  // nobody was there
	OutcomeFailed  = "failed"  // the run could not be started
)

// Limits of a schedule's fields.
const (
	MinEvery   = 60 // seconds
	MaxEvery   = 365 * 24 * 3600
	MaxName    = 200
	MaxJitter  = 3600 // seconds
	MaxCatchUp = 100
	MaxInput   = 256 << 10
)

// Row is a schedule as stored.
type Row = dbsqlc.Schedule

// Item is a schedule with its flowchart's name and its last firing.
type Item = dbsqlc.GetScheduleRow

// Firing is what became of a time, with its run's status.
type Firing = dbsqlc.ListFiringsRow

// Fields are what can be edited.
type Fields struct {
	Name          string
	FlowchartID   int64           // what it starts: either this
	SourceID      int64           // or this; which of them is set once
	Input         json.RawMessage // an object; empty: {}
	Cron          string          // when it does: either this
	EverySeconds  *int32          // or this, counted from its creation
	TimeZone      string
	JitterSeconds int32
	MissedPolicy  string
	CatchUpLimit  int32
	OverlapPolicy string
	Enabled       bool
}

// Defaults are the fields that need not be given. What was missed is caught up
// once: who schedules a nightly report wants it when the machine is back.
func Defaults() Fields {
	return Fields{TimeZone: "UTC", MissedPolicy: MissedCatchUp, CatchUpLimit: 1, OverlapPolicy: OverlapSkip, Enabled: true}
}

func fieldsOf(r *Row) Fields {
	f := Fields{
		Name: r.Name, Input: r.Input, Cron: r.Cron, TimeZone: r.TimeZone, JitterSeconds: r.JitterSeconds, MissedPolicy: r.MissedPolicy,
		CatchUpLimit: r.CatchUpLimit, OverlapPolicy: r.OverlapPolicy, Enabled: r.Enabled, EverySeconds: r.EverySeconds,
	}
	if r.FlowchartID != nil {
		f.FlowchartID = *r.FlowchartID
	}
	if r.RagSourceID != nil {
		f.SourceID = *r.RagSourceID
	}
	return f
}

// check reports everything that is wrong with the fields, and writes them as they
// are stored.
func (f *Fields) check() error {
	var details []errs.Detail
	wrong := func(name, format string, args ...any) {
		details = append(details, errs.Detail{Location: "body." + name, Message: fmt.Sprintf(format, args...)})
	}
	f.Name = strings.TrimSpace(f.Name)
	if n := utf8.RuneCountInString(f.Name); n == 0 || n > MaxName {
		wrong("name", "has %d characters; accepted are 1 to %d", n, MaxName)
	}
	details = append(details, f.checkTiming()...)
	_, err := ParseZone(f.TimeZone)
	details = append(details, detailsOf(err)...)
	if f.JitterSeconds < 0 || f.JitterSeconds > MaxJitter {
		wrong("jitter_seconds", "is %d; accepted are 0 to %d", f.JitterSeconds, MaxJitter)
	}
	if f.MissedPolicy != MissedSkip && f.MissedPolicy != MissedCatchUp {
		wrong("missed_policy", "is %q; accepted are %s and %s", f.MissedPolicy, MissedSkip, MissedCatchUp)
	}
	if f.CatchUpLimit < 1 || f.CatchUpLimit > MaxCatchUp {
		wrong("catch_up_limit", "is %d; accepted are 1 to %d", f.CatchUpLimit, MaxCatchUp)
	}
	if f.OverlapPolicy != OverlapAllow && f.OverlapPolicy != OverlapSkip {
		wrong("overlap_policy", "is %q; accepted are %s and %s", f.OverlapPolicy, OverlapAllow, OverlapSkip)
	}
	if problem := f.checkInput(); problem != "" {
		wrong("input", "%s", problem)
	}
	if len(details) > 0 {
		return errs.E(errs.Invalid, "schedule.invalid", "The schedule cannot be saved like this.", details...)
	}
	return nil
}

// checkTiming looks at the expression or the interval; one of them is needed.
func (f *Fields) checkTiming() []errs.Detail {
	every := func(format string, args ...any) []errs.Detail {
		return []errs.Detail{{Location: "body.every_seconds", Message: fmt.Sprintf(format, args...)}}
	}
	switch e := f.EverySeconds; {
	case e == nil:
		cron, err := ParseCron(f.Cron)
		f.Cron = cron.String()
		return detailsOf(err)
	case f.Cron != "":
		return every("is given beside cron; a schedule has one of them")
	case *e < MinEvery || *e > MaxEvery:
		return every("is %d; accepted are %d to %d", *e, MinEvery, MaxEvery)
	}
	return nil
}

func (f *Fields) checkInput() string {
	f.Input = bytes.TrimSpace(f.Input)
	if len(f.Input) == 0 || string(f.Input) == "null" {
		f.Input = json.RawMessage("{}")
	}
	if len(f.Input) > MaxInput {
		return fmt.Sprintf("has %d bytes; at most %d are accepted", len(f.Input), MaxInput)
	}
	if f.Input[0] != '{' || !json.Valid(f.Input) {
		return "is no JSON object"
	}
	return ""
}

func detailsOf(err error) []errs.Detail {
	if err == nil {
		return nil
	}
	return errs.As(err).Details
}

// timingOf reads a stored schedule's times.
func timingOf(r *Row) (timing, error) {
	m := timing{id: r.ID, jitter: time.Duration(r.JitterSeconds) * time.Second}
	if r.EverySeconds != nil {
		m.every, m.from = time.Duration(*r.EverySeconds)*time.Second, r.CreatedAt.Truncate(time.Second)
		return m, nil
	}
	cron, err := ParseCron(r.Cron)
	if err != nil {
		return timing{}, fmt.Errorf("read cron of schedule %d: %w", r.ID, err)
	}
	zone, err := ParseZone(r.TimeZone)
	if err != nil {
		return timing{}, fmt.Errorf("read time zone of schedule %d: %w", r.ID, err)
	}
	m.cron, m.zone = cron, zone
	return m, nil
}

// Upcoming gives the next n times at which a schedule will be fired, from the
// next one that is planned on; none when it is not enabled.
func Upcoming(r *Row, n int) []time.Time {
	out := make([]time.Time, 0, n)
	m, err := timingOf(r)
	if err != nil || r.NextDueAt == nil || r.NextFireAt == nil {
		return out
	}
	due, fire := *r.NextDueAt, *r.NextFireAt
	for len(out) < n && !due.IsZero() {
		out = append(out, fire)
		due, fire = m.after(due)
	}
	return out
}
