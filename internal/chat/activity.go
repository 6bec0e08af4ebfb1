package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

// The classes of activity.
const (
	classLifecycle  = "thread_lifecycle"
	classTurn       = "turn"
	classTools      = "retrieval_tool_usage"
	classFailure    = "failure"
	classCompaction = "compaction"
)

// deed is something that happened.
type deed struct {
	class, action   string
	turnID          *int64
	reason, message string
	detail          map[string]any
	by              Origin
}

// note writes a deed into the log of what happened.
func (s *Service) note(ctx context.Context, tx *postgres.Tx, t *Thread, d deed) error {
	detail := json.RawMessage("{}")
	if d.detail != nil {
		var err error
		if detail, err = json.Marshal(d.detail); err != nil {
			return fmt.Errorf("encode activity: %w", err)
		}
	}
	err := s.q.InsertActivity(ctx, tx, dbsqlc.InsertActivityParams{
		ThreadID: t.ID, ThreadTitle: t.Title, TurnID: d.turnID, Class: d.class, Action: d.action, ReasonCode: d.reason, Message: d.message,
		Detail: detail, AppUserID: d.by.UserID, RequestID: d.by.RequestID, CorrelationID: d.by.CorrelationID,
	})
	if err != nil {
		return fmt.Errorf("note activity of thread %d: %w", t.ID, err)
	}
	return nil
}

// ActivityEntry is an entry of the log of what happened.
type ActivityEntry struct {
	ID          int64           `json:"id"`
	ThreadID    int64           `json:"thread_id"`
	ThreadTitle string          `json:"thread_title" doc:"As it was then"`
	TurnID      *int64          `json:"turn_id"`
	Class       string          `json:"class" enum:"thread_lifecycle,turn,retrieval_tool_usage,failure,compaction"`
	Action      string          `json:"action" doc:"created, archived, restored, deleted, cleared, turn_requested, turn_responded, turn_cancelled, retrieval_used, tool_used, failed, compacted"`
	ReasonCode  string          `json:"reason_code"`
	Message     string          `json:"message"`
	Detail      json.RawMessage `json:"detail"`
	UserID      *int64          `json:"user_id"`
	RequestID   string          `json:"request_id"`
	CreatedAt   time.Time       `json:"created_at"`
}

// ActivityFilter selects entries.
type ActivityFilter struct {
	ThreadID   int64
	Classes    []string
	ReasonCode string
	Since      *time.Time
	BeforeID   int64
	Limit      int32
}

// ListActivity gives entries, the newest first.
func (s *Service) ListActivity(ctx context.Context, f ActivityFilter) ([]ActivityEntry, error) {
	if f.Classes == nil {
		f.Classes = []string{}
	}
	rows, err := s.q.ListActivity(ctx, s.o.DB, dbsqlc.ListActivityParams{
		BeforeID: f.BeforeID, ThreadID: f.ThreadID, Classes: f.Classes, ReasonCode: f.ReasonCode, Since: f.Since, MaxRows: f.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list activity: %w", err)
	}
	out := make([]ActivityEntry, len(rows))
	for i, r := range rows {
		out[i] = ActivityEntry{
			ID: r.ID, ThreadID: r.ThreadID, ThreadTitle: r.ThreadTitle, TurnID: r.TurnID, Class: r.Class, Action: r.Action, ReasonCode: r.ReasonCode,
			Message: r.Message, Detail: r.Detail, UserID: r.AppUserID, RequestID: r.RequestID, CreatedAt: r.CreatedAt,
		}
	}
	return out, nil
}
