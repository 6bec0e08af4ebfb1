package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
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

// Load gives the settings in force and their revision, which changes with them.
func Load(ctx context.Context, q postgres.Querier) (Settings, int64, error) {
	s := Defaults()
	var raw []byte
	err := q.QueryRow(ctx, `SELECT value FROM setting WHERE section = 'retention' AND key = 'days'`).Scan(&raw)
	if postgres.NotFound(err) {
		return s, 1, nil
	}
	if err != nil {
		return s, 0, fmt.Errorf("load retention settings: %w", err)
	}
	var stored struct {
		Revision int64             `json:"revision"`
		Days     map[string]*int32 `json:"days"`
	}
	if err := json.Unmarshal(raw, &stored); err != nil {
		return s, 0, fmt.Errorf("read retention settings: %w", err)
	}
	for name, field := range s.byName() {
		if v, ok := stored.Days[name]; ok {
			*field = v
		}
	}
	return s, max(stored.Revision, 1), nil
}

// Save stores changed settings; revision is what the caller saw, 0 for whatever
// is there. Errors: invalid, precondition.
func Save(ctx context.Context, tx *postgres.Tx, revision int64, change func(*Settings)) (Settings, int64, error) {
	// The row is made before it is locked, so that two first writers meet.
	_, err := tx.Exec(ctx, `INSERT INTO setting (section, key, value) VALUES ('retention', 'days', '{}') ON CONFLICT DO NOTHING`)
	if err == nil {
		_, err = tx.Exec(ctx, `SELECT FROM setting WHERE section = 'retention' AND key = 'days' FOR UPDATE`)
	}
	if err != nil {
		return Settings{}, 0, fmt.Errorf("lock retention settings: %w", err)
	}
	s, now, err := Load(ctx, tx)
	if err != nil {
		return s, 0, err
	}
	if revision != 0 && revision != now {
		return s, 0, errs.E(errs.Precondition, "setting.stale", "Somebody saved these settings in the meantime. Load them again, then repeat your change.")
	}
	change(&s)
	if err := s.check(); err != nil {
		return s, 0, err
	}
	now++
	raw, err := json.Marshal(map[string]any{"revision": now, "days": s})
	if err != nil {
		return s, 0, fmt.Errorf("encode retention settings: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE setting SET value = $1, updated_at = now() WHERE section = 'retention' AND key = 'days'`, raw); err != nil {
		return s, 0, fmt.Errorf("store retention settings: %w", err)
	}
	return s, now, nil
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
