package chat

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/setting"
)

// Section is the settings section of threads.
const Section = "chat_runtime"

// Settings are what people decide for all threads.
type Settings struct {
	OnBusy             string       `json:"on_busy" enum:"queue,refuse" doc:"What becomes of a message while another one is being answered"`
	MaxQueuedTurns     int          `json:"max_queued_turns" doc:"That may wait in a thread, 1 to 100; more are refused"`
	HistoryPercent     int          `json:"history_percent" doc:"Of the model's window, for the conversation, 10 to 90"`
	RetrievalPercent   int          `json:"retrieval_percent" doc:"For retrieved passages, 0 to 80; the rest is for tools"`
	TriggerPercent     int          `json:"trigger_percent" doc:"Of the history's budget, at which older messages are folded, 70 to 100"`
	TargetPercent      int          `json:"target_percent" doc:"To which they are folded, 40 to 99 and below the trigger"`
	PreserveTurns      int          `json:"preserve_recent_turns" doc:"That are not folded if they fit, 1 to 20"`
	RetrievalTopK      int          `json:"retrieval_top_k" doc:"Passages at most, 1 to 50"`
	DefaultWindow      int          `json:"default_context_window_tokens" doc:"Of models that do not say, 1024 to 2000000"`
	SummaryChars       int          `json:"summary_max_chars" doc:"Of a summary, 200 to 10000"`
	DefaultModelID     *int64       `json:"default_model_id" doc:"Of threads that name none; null: the newest"`
	DefaultComplexity  string       `json:"default_response_complexity" enum:"low,medium,high,extra_high"`
	TurnTimeoutSeconds int          `json:"turn_timeout_seconds" doc:"Of one attempt, 10 to 7200"`
	UndoSeconds        int          `json:"delete_undo_seconds" doc:"For which a deleted thread can be restored, 0 to 86400"`
	Currency           string       `json:"currency" doc:"Of the prices, three letters"`
	Prices             []ModelPrice `json:"prices" doc:"Of models; without one the cost of a turn is unknown"`
}

// ModelPrice is what a million tokens of a model cost.
type ModelPrice struct {
	ModelID int64   `json:"model_id"`
	Input   float64 `json:"input" doc:"For a million input tokens"`
	Cached  float64 `json:"cached_input" doc:"For a million input tokens that the provider had in its cache"`
	Output  float64 `json:"output" doc:"For a million output tokens"`
}

// Defaults are the settings of a fresh installation.
func Defaults() Settings {
	return Settings{
		OnBusy: "queue", MaxQueuedTurns: 5, HistoryPercent: 60, RetrievalPercent: 25, TriggerPercent: 100, TargetPercent: 85, PreserveTurns: 4,
		RetrievalTopK: 5, DefaultWindow: 16000, SummaryChars: 2400, DefaultComplexity: "medium", TurnTimeoutSeconds: 900, UndoSeconds: 60,
		Currency: "USD", Prices: []ModelPrice{},
	}
}

// ToolsPercent is what history and retrieval leave.
func (s *Settings) ToolsPercent() int { return 100 - s.HistoryPercent - s.RetrievalPercent }

// Cost is what tokens cost, in millionths of the currency; nil: there is no price.
func (s *Settings) Cost(modelID *int64, input, cached, output int64) *int64 {
	if modelID == nil {
		return nil
	}
	i := slices.IndexFunc(s.Prices, func(p ModelPrice) bool { return p.ModelID == *modelID })
	if i < 0 {
		return nil
	}
	p := s.Prices[i]
	// Per million tokens and in millionths: the factors cancel out.
	return new(int64(float64(input-cached)*p.Input + float64(cached)*p.Cached + float64(output)*p.Output + 0.5))
}

func settingsDocument() setting.Document[setting.Values[Settings], *setting.Values[Settings]] {
	return setting.Document[setting.Values[Settings], *setting.Values[Settings]]{
		Section: Section, Key: "values", Defaults: func() setting.Values[Settings] { return setting.Values[Settings]{Values: Defaults()} },
	}
}

// LoadSettings gives the settings in force and their revision.
func LoadSettings(ctx context.Context, q postgres.Querier) (Settings, int64, error) {
	d, err := settingsDocument().Load(ctx, q)
	return d.Values, d.Revision.Revision, err
}

// SaveSettings stores changed settings; revision is what the caller saw, 0 for
// whatever is there. Errors: invalid, precondition.
func SaveSettings(ctx context.Context, tx *postgres.Tx, revision int64, change func(*Settings)) (Settings, int64, error) {
	d, err := settingsDocument().Change(ctx, tx, revision, func(d *setting.Values[Settings]) error {
		change(&d.Values)
		if err := d.Values.check(); err != nil {
			return err
		}
		return d.Values.checkModels(ctx, tx)
	})
	return d.Values, d.Revision.Revision, err
}

// maxPrices bounds the table.
const maxPrices = 1000

func (s *Settings) check() error {
	var details []errs.Detail
	fault := func(where, format string, args ...any) {
		details = append(details, errs.Detail{Location: "body." + where, Message: fmt.Sprintf(format, args...)})
	}
	for _, f := range []struct {
		name         string
		v, low, high int
	}{
		{"max_queued_turns", s.MaxQueuedTurns, 1, 100},
		{"history_percent", s.HistoryPercent, 10, 90},
		{"retrieval_percent", s.RetrievalPercent, 0, 80},
		{"trigger_percent", s.TriggerPercent, 70, 100},
		{"target_percent", s.TargetPercent, 40, 99},
		{"preserve_recent_turns", s.PreserveTurns, 1, 20},
		{"retrieval_top_k", s.RetrievalTopK, 1, 50},
		{"default_context_window_tokens", s.DefaultWindow, minWindow, maxWindow},
		{"summary_max_chars", s.SummaryChars, 200, 10000},
		{"turn_timeout_seconds", s.TurnTimeoutSeconds, 10, 7200},
		{"delete_undo_seconds", s.UndoSeconds, 0, 86400},
	} {
		if f.v < f.low || f.v > f.high {
			fault(f.name, "is %d; accepted are %d to %d", f.v, f.low, f.high)
		}
	}
	if sum := s.HistoryPercent + s.RetrievalPercent; sum > 95 {
		fault("retrieval_percent", "makes %d with history_percent; together they may be at most 95, so that tools have room", sum)
	}
	if s.TargetPercent >= s.TriggerPercent {
		fault("target_percent", "is %d; it must be below trigger_percent, which is %d", s.TargetPercent, s.TriggerPercent)
	}
	if s.OnBusy != "queue" && s.OnBusy != "refuse" {
		fault("on_busy", "is %q; accepted are queue and refuse", s.OnBusy)
	}
	if !slices.Contains(Complexities(), s.DefaultComplexity) {
		fault("default_response_complexity", "is %q; accepted are %v", s.DefaultComplexity, Complexities())
	}
	if !regexp.MustCompile(`^[A-Z]{3}$`).MatchString(s.Currency) {
		fault("currency", "is %q; accepted are three capital letters, such as USD", s.Currency)
	}
	s.checkPrices(fault)
	if len(details) > 0 {
		return errs.E(errs.Invalid, "setting.invalid", "The settings cannot be used.", details...)
	}
	return nil
}

func (s *Settings) checkPrices(fault func(where, format string, args ...any)) {
	if len(s.Prices) > maxPrices {
		fault("prices", "has %d entries; at most %d are kept", len(s.Prices), maxPrices)
		return
	}
	seen := map[int64]bool{}
	for i, p := range s.Prices {
		if seen[p.ModelID] {
			fault(fmt.Sprintf("prices[%d].model_id", i), "is %d a second time", p.ModelID)
		}
		seen[p.ModelID] = true
		for name, v := range map[string]float64{"input": p.Input, "cached_input": p.Cached, "output": p.Output} {
			if v < 0 || v > 1e6 {
				fault(fmt.Sprintf("prices[%d].%s", i, name), "is %g; accepted are 0 to 1000000", v)
			}
		}
	}
}

// checkModels refuses a default that does not exist. Prices of models that were
// deleted since are dropped.
func (s *Settings) checkModels(ctx context.Context, q postgres.Querier) error {
	ids := make([]int64, 0, len(s.Prices)+1)
	for _, p := range s.Prices {
		ids = append(ids, p.ModelID)
	}
	if s.DefaultModelID != nil {
		ids = append(ids, *s.DefaultModelID)
	}
	var there []int64
	if err := q.QueryRow(ctx, `SELECT coalesce(array_agg(id), '{}') FROM model WHERE id = ANY ($1)`, ids).Scan(&there); err != nil {
		return fmt.Errorf("look for models: %w", err)
	}
	if s.DefaultModelID != nil && !slices.Contains(there, *s.DefaultModelID) {
		return errs.E(errs.Invalid, "setting.invalid", "The settings cannot be used.",
			errs.Detail{Location: "body.default_model_id", Message: fmt.Sprintf("there is no model %d", *s.DefaultModelID)})
	}
	s.Prices = slices.DeleteFunc(s.Prices, func(p ModelPrice) bool { return !slices.Contains(there, p.ModelID) })
	return nil
}
