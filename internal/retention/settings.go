package retention

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/setting"
)

// Settings say how many days things are kept after their run has ended; nil: for
// ever.
type Settings struct {
	// EventDays is for the events of runs: what a run's page replays.
	EventDays *int32 `json:"event_days"`
	// TextDays is for streamed words and logs of node runs. Outputs are not text:
	// they stay with the run.
	TextDays *int32 `json:"text_days"`
	// FiringDays is for what became of schedules' times.
	FiringDays *int32 `json:"firing_days"`
	// RunDays is for runs, with everything that belongs to them.
	RunDays *int32 `json:"run_days"`
}

// MaxDays bounds each of them.
const MaxDays = 36500

// Defaults keep runs for ever, since only their owners know what they are worth,
// and remove how they went after long enough that nobody looks at it day by day.
func Defaults() Settings {
	return Settings{EventDays: new(int32(180)), TextDays: new(int32(90)), FiringDays: new(int32(180))}
}

func (s *Settings) byName() map[string]**int32 {
	return map[string]**int32{"event_days": &s.EventDays, "text_days": &s.TextDays, "firing_days": &s.FiringDays, "run_days": &s.RunDays}
}

type stored struct {
	setting.Revision
	Days Settings `json:"days"`
}

func document() setting.Document[stored, *stored] {
	return setting.Document[stored, *stored]{
		Section: "retention", Key: "days", Defaults: func() stored { return stored{Days: Defaults()} },
	}
}

// Load gives the settings in force and their revision, which changes with them.
func Load(ctx context.Context, q postgres.Querier) (Settings, int64, error) {
	d, err := document().Load(ctx, q)
	return d.Days, d.Revision.Revision, err
}

// Save stores changed settings; revision is what the caller saw, 0 for whatever
// is there. Errors: invalid, precondition.
func Save(ctx context.Context, tx *postgres.Tx, revision int64, change func(*Settings)) (Settings, int64, error) {
	d, err := document().Change(ctx, tx, revision, func(d *stored) error {
		change(&d.Days)
		return d.Days.check()
	})
	return d.Days, d.Revision.Revision, err
}

func (s *Settings) check() error {
	var details []errs.Detail
	fields := s.byName()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if v := *fields[name]; v != nil && (*v < 1 || *v > MaxDays) {
			details = append(details, errs.Detail{Location: "body." + name, Message: fmt.Sprintf("is %d; accepted are 1 to %d, or null for ever", *v, MaxDays)})
		}
	}
	if len(details) > 0 {
		return errs.E(errs.Invalid, "setting.invalid", "The settings cannot be used.", details...)
	}
	return nil
}
