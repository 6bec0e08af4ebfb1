package httpapi

import (
	"context"
	"net/http"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/retention"
)

type retentionView struct {
	EventDays  *int32 `json:"event_days" doc:"Events of ended runs and downloads, which their pages replay; null: for ever"`
	TextDays   *int32 `json:"text_days" doc:"Streamed words and logs of ended node runs; outputs stay with the run"`
	FiringDays *int32 `json:"firing_days" doc:"What became of schedules' times"`
	RunDays    *int32 `json:"run_days" doc:"Ended runs and quick nodes with everything that belongs to them; null, the default: for ever"`
}

type retentionOutput struct {
	ETag string `header:"ETag"`
	Body retentionView
}

type updateRetentionInput struct {
	IfMatch string `header:"If-Match"`
	Body    struct {
		EventDays  optional[int32] `json:"event_days,omitzero"`
		TextDays   optional[int32] `json:"text_days,omitzero"`
		FiringDays optional[int32] `json:"firing_days,omitzero"`
		RunDays    optional[int32] `json:"run_days,omitzero"`
	}
}

func (s *server) registerSettings() {
	handle(s, route{
		method: http.MethodGet, path: "/settings/retention", id: "get-retention-settings", tag: "settings", permission: auth.Read,
		summary: "How many days things are kept after their run has ended",
	}, func(ctx context.Context, _ *struct{}) (*retentionOutput, error) {
		v, revision, err := retention.Load(ctx, s.deps.DB)
		if err != nil {
			return nil, err
		}
		return &retentionOutput{ETag: etag(revision), Body: retentionView(v)}, nil
	})
	handle(s, route{
		method: http.MethodPatch, path: "/settings/retention", id: "update-retention-settings", tag: "settings", permission: auth.Manage,
		audit: true, summary: "Change how many days things are kept; null means for ever",
	}, s.updateRetention)
}

func (s *server) updateRetention(ctx context.Context, in *updateRetentionInput) (*retentionOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, "setting.updated", "setting", 0, func(ctx context.Context, tx *postgres.Tx) (*retentionOutput, error) {
		v, now, err := retention.Save(ctx, tx, revision, func(to *retention.Settings) {
			for _, f := range []struct {
				given optional[int32]
				to    **int32
			}{{in.Body.EventDays, &to.EventDays}, {in.Body.TextDays, &to.TextDays}, {in.Body.FiringDays, &to.FiringDays}, {in.Body.RunDays, &to.RunDays}} {
				if f.given.Set {
					*f.to = f.given.Value
				}
			}
		})
		if err != nil {
			return nil, err
		}
		return &retentionOutput{ETag: etag(now), Body: retentionView(v)}, nil
	})
}
