package chat

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
)

// ModelUsage is what was used of a model.
type ModelUsage struct {
	ModelName    string `json:"model_name"`
	Turns        int64  `json:"turns"`
	Failed       int64  `json:"failed"`
	InputTokens  int64  `json:"input_tokens"`
	OutputTokens int64  `json:"output_tokens"`
	CachedTokens int64  `json:"cached_tokens"`
	CostMicros   int64  `json:"cost_micros" doc:"Of the turns that have a price, in millionths of the currency"`
	Unpriced     int64  `json:"unpriced" doc:"Turns without a price"`
}

func (u *ModelUsage) add(o ModelUsage) {
	u.Turns += o.Turns
	u.Failed += o.Failed
	u.InputTokens += o.InputTokens
	u.OutputTokens += o.OutputTokens
	u.CachedTokens += o.CachedTokens
	u.CostMicros += o.CostMicros
	u.Unpriced += o.Unpriced
}

// UsageReport is what was used, by model.
type UsageReport struct {
	Currency string       `json:"currency"`
	Total    ModelUsage   `json:"total"`
	Models   []ModelUsage `json:"models"`
	Days     []DayUsage   `json:"days,omitempty" doc:"The newest first; of a single thread there are none"`
}

// DayUsage is what was used of a model on a day.
type DayUsage struct {
	Day string `json:"day" doc:"YYYY-MM-DD, UTC"`
	ModelUsage
}

// ThreadUsage tells what the turns of a thread used that are still there. Error:
// not_found.
func (s *Service) ThreadUsage(ctx context.Context, threadID int64) (UsageReport, error) {
	rep := UsageReport{Models: []ModelUsage{}}
	if _, err := s.get(ctx, s.o.DB, threadID); err != nil {
		return rep, err
	}
	set, _, err := LoadSettings(ctx, s.o.DB)
	if err != nil {
		return rep, err
	}
	rep.Currency = set.Currency
	rows, err := s.q.ThreadUsage(ctx, s.o.DB, threadID)
	if err != nil {
		return rep, fmt.Errorf("sum usage of thread %d: %w", threadID, err)
	}
	for _, r := range rows {
		u := ModelUsage{
			ModelName: r.ModelName, Turns: r.Turns, Failed: r.Failed, InputTokens: r.InputTokens, OutputTokens: r.OutputTokens,
			CachedTokens: r.CachedTokens, CostMicros: r.CostMicros, Unpriced: r.Unpriced,
		}
		rep.Models = append(rep.Models, u)
		rep.Total.add(u)
	}
	return rep, nil
}

// UsageBetween tells what all threads used, those included that are deleted.
func (s *Service) UsageBetween(ctx context.Context, from, to time.Time) (UsageReport, error) {
	rep := UsageReport{Models: []ModelUsage{}, Days: []DayUsage{}}
	set, _, err := LoadSettings(ctx, s.o.DB)
	if err != nil {
		return rep, err
	}
	rep.Currency = set.Currency
	rows, err := s.q.DayUsage(ctx, s.o.DB, dbsqlc.DayUsageParams{FromDay: pgtype.Date{Time: from, Valid: true}, ToDay: pgtype.Date{Time: to, Valid: true}})
	if err != nil {
		return rep, fmt.Errorf("sum usage: %w", err)
	}
	at := map[string]int{}
	for _, r := range rows {
		u := ModelUsage{
			ModelName: r.ModelName, Turns: r.Turns, Failed: r.Failed, InputTokens: r.InputTokens, OutputTokens: r.OutputTokens,
			CachedTokens: r.CachedTokens, CostMicros: r.CostMicros, Unpriced: r.Unpriced,
		}
		rep.Days = append(rep.Days, DayUsage{Day: r.Day.Time.Format(time.DateOnly), ModelUsage: u})
		rep.Total.add(u)
		i, there := at[r.ModelName]
		if !there {
			i = len(rep.Models)
			at[r.ModelName] = i
			rep.Models = append(rep.Models, ModelUsage{ModelName: r.ModelName})
		}
		rep.Models[i].add(u)
	}
	return rep, nil
}
