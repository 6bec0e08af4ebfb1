package chat

import (
	"encoding/json"
	"time"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
)

// TurnUsage is what was used, and what it cost.
type TurnUsage struct {
	InputTokens  int64  `json:"input_tokens"`
	OutputTokens int64  `json:"output_tokens"`
	CachedTokens int64  `json:"cached_tokens" doc:"Of the input tokens"`
	Estimated    bool   `json:"estimated" doc:"The provider did not count all of it: an answer that was cut short is counted here"`
	CostMicros   *int64 `json:"cost_micros" doc:"Millionths of the currency of the settings; null: there is no price for the model"`
}

// ThreadView is a thread as answers and events show it.
type ThreadView struct {
	ID                 int64      `json:"id"`
	Title              string     `json:"title"`
	TitleSource        string     `json:"title_source" enum:"default,auto,user"`
	Status             string     `json:"status" enum:"active,archived"`
	ModelID            *int64     `json:"model_id" doc:"null: the default of the settings, else the newest"`
	ResponseComplexity string     `json:"response_complexity" enum:"low,medium,high,extra_high"`
	MCPServerIDs       []int64    `json:"mcp_server_ids"`
	SourceIDs          []int64    `json:"source_ids"`
	MessageCount       int32      `json:"message_count" doc:"Of all branches"`
	TurnCount          int32      `json:"turn_count" doc:"That have ended"`
	Usage              TurnUsage  `json:"usage" doc:"Of all turns that have ended"`
	Busy               bool       `json:"busy" doc:"A turn has not ended yet"`
	CreatedAt          time.Time  `json:"created_at"`
	UpdatedAt          time.Time  `json:"updated_at"`
	LastActivityAt     time.Time  `json:"last_activity_at"`
	ArchivedAt         *time.Time `json:"archived_at"`
	Deleted            bool       `json:"deleted,omitempty" doc:"Hidden; it can be restored until undo_until"`
	UndoUntil          *time.Time `json:"undo_until,omitempty"`
}

// ViewThread shows a thread.
func ViewThread(t *Thread, busy bool) ThreadView {
	return ThreadView{
		ID: t.ID, Title: t.Title, TitleSource: t.TitleSource, Status: t.Status, ModelID: t.ModelID, ResponseComplexity: t.ResponseComplexity,
		MCPServerIDs: notNil(t.McpServerIds), SourceIDs: notNil(t.SourceIds), MessageCount: t.MessageCount, TurnCount: t.TurnCount,
		Usage: TurnUsage{InputTokens: t.InputTokens, OutputTokens: t.OutputTokens, CachedTokens: t.CachedTokens, CostMicros: &t.CostMicros},
		Busy:  busy, CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, LastActivityAt: t.LastActivityAt, ArchivedAt: t.ArchivedAt,
		Deleted: t.DeleteRequestedAt != nil, UndoUntil: t.PurgeAt,
	}
}

func notNil(ids []int64) []int64 {
	if ids == nil {
		return []int64{}
	}
	return ids
}

// TurnError is why a turn failed.
type TurnError struct {
	Code      string `json:"code"`
	Message   string `json:"message" doc:"What happened, why, and what to do"`
	Retryable bool   `json:"retryable"`
}

// TurnOrder is what was asked of a turn.
type TurnOrder struct {
	Asked       string     `json:"asked" enum:"cancel"`
	AskedAt     time.Time  `json:"asked_at"`
	Confirmed   bool       `json:"confirmed"`
	ConfirmedAt *time.Time `json:"confirmed_at"`
}

// TurnView is a turn as answers and events show it.
type TurnView struct {
	ID                 int64        `json:"id"`
	ThreadID           int64        `json:"thread_id"`
	Kind               string       `json:"kind" enum:"message,edit,branch,regenerate"`
	Status             string       `json:"status" enum:"queued,running,waiting,cancelling,succeeded,failed,cancelled"`
	Phase              string       `json:"phase" enum:",retrieving,compacting,answering" doc:"Of a running one"`
	Attempt            int32        `json:"attempt" doc:"When it grows, the text of the attempt before is superseded"`
	UserMessageID      int64        `json:"user_message_id"`
	AssistantMessageID int64        `json:"assistant_message_id" doc:"Where the answer comes; pending until the turn ends"`
	ModelID            *int64       `json:"model_id"`
	ModelName          string       `json:"model_name"`
	ResponseComplexity string       `json:"response_complexity" enum:"low,medium,high,extra_high"`
	ReasonCode         string       `json:"reason_code" doc:"Of one that failed or was cut short"`
	Error              *TurnError   `json:"error" doc:"Why it failed; of a queued one, why the attempt before did"`
	RetryAt            *time.Time   `json:"retry_at,omitempty" doc:"Of a queued one whose provider was too busy: when it is tried again"`
	FinishReason       string       `json:"finish_reason" doc:"stop, length, tool_calls, content_filter or other"`
	Usage              TurnUsage    `json:"usage"`
	Context            *ContextView `json:"context" doc:"What the model's window was filled with"`
	Order              *TurnOrder   `json:"order"`
	CreatedAt          time.Time    `json:"created_at"`
	StartedAt          *time.Time   `json:"started_at"`
	FirstTokenAt       *time.Time   `json:"first_token_at"`
	FinishedAt         *time.Time   `json:"finished_at"`
}

// ViewTurn shows a turn.
func ViewTurn(t *Turn) TurnView {
	v := TurnView{
		ID: t.ID, ThreadID: t.ThreadID, Kind: t.Kind, Status: t.Status, Phase: t.Phase, Attempt: t.Attempt, UserMessageID: t.UserMessageID,
		AssistantMessageID: t.AssistantMessageID, ModelID: t.ModelID, ModelName: t.ModelName, ResponseComplexity: t.ResponseComplexity,
		ReasonCode: t.ReasonCode, FinishReason: t.FinishReason,
		Usage: TurnUsage{
			InputTokens: t.InputTokens, OutputTokens: t.OutputTokens, CachedTokens: t.CachedTokens, Estimated: t.TokensEstimated, CostMicros: t.CostMicros,
		},
		CreatedAt: t.CreatedAt, StartedAt: t.StartedAt, FirstTokenAt: t.FirstTokenAt, FinishedAt: t.FinishedAt,
	}
	if t.CancelRequestedAt != nil {
		v.Order = &TurnOrder{Asked: "cancel", AskedAt: *t.CancelRequestedAt, Confirmed: t.Status == Cancelled, ConfirmedAt: t.FinishedAt}
	}
	v.Error = failureIn(t.Error)
	if t.Status == Queued && v.Error != nil && t.StartedAt != nil && t.RunAfter.After(*t.StartedAt) {
		v.RetryAt = &t.RunAfter
	}
	if len(t.Context) > 0 {
		c := &ContextView{}
		if json.Unmarshal(t.Context, c) == nil {
			v.Context = c
		}
	}
	return v
}

func failureIn(raw json.RawMessage) *TurnError {
	if len(raw) == 0 {
		return nil
	}
	f := &TurnError{}
	if json.Unmarshal(raw, f) != nil {
		return nil
	}
	return f
}

// TurnAttemptView is an attempt of a turn.
type TurnAttemptView struct {
	Number     int32      `json:"number"`
	Worker     string     `json:"worker"`
	Status     string     `json:"status" enum:"running,succeeded,failed,cancelled,suspended,handed_over,lost"`
	Error      *TurnError `json:"error"`
	Usage      TurnUsage  `json:"usage"`
	Characters int64      `json:"characters" doc:"That it streamed"`
	ClaimedAt  time.Time  `json:"claimed_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

func viewAttempt(r *dbsqlc.ListTurnAttemptsRow) TurnAttemptView {
	a := &r.TurnAttempt
	return TurnAttemptView{
		Number: a.Number, Worker: r.Hostname, Status: a.Status, Error: failureIn(a.Error), Characters: a.Characters,
		Usage: TurnUsage{
			InputTokens: a.InputTokens, OutputTokens: a.OutputTokens, CachedTokens: a.CachedTokens, Estimated: a.TokensEstimated,
		},
		ClaimedAt: a.ClaimedAt, FinishedAt: a.FinishedAt,
	}
}

// Siblings are the messages at the same place of the tree.
type Siblings struct {
	IDs   []int64 `json:"ids" doc:"From the oldest to the newest, at most 100"`
	Index int     `json:"index" doc:"Of this one, from 0"`
}

// MessageView is a message as answers and events show it.
type MessageView struct {
	ID         int64         `json:"id"`
	ThreadID   int64         `json:"thread_id"`
	ParentID   *int64        `json:"parent_id" doc:"The message before it; null: it begins the conversation"`
	TurnID     *int64        `json:"turn_id"`
	Role       string        `json:"role" enum:"user,assistant"`
	Status     string        `json:"status" enum:"pending,complete,partial,failed" doc:"pending: its turn has not ended; partial: cut short"`
	Content    string        `json:"content" doc:"The text"`
	Parts      []MessagePart `json:"parts" doc:"The text with what stands between it"`
	Tokens     int32         `json:"tokens" doc:"An estimate"`
	Depth      int32         `json:"depth" doc:"Place in the conversation; 1 is the first"`
	Siblings   *Siblings     `json:"siblings" doc:"Other versions of it; null: there are none"`
	CreatedAt  time.Time     `json:"created_at"`
	FinishedAt *time.Time    `json:"finished_at"`
}

// ViewMessage shows a message.
func ViewMessage(m *Message) MessageView {
	v := MessageView{
		ID: m.ID, ThreadID: m.ThreadID, ParentID: m.ParentID, TurnID: m.TurnID, Role: m.Role, Status: m.Status, Content: m.Content,
		Parts: []MessagePart{}, Tokens: m.Tokens, Depth: m.Depth, CreatedAt: m.CreatedAt, FinishedAt: m.FinishedAt,
	}
	_ = json.Unmarshal(m.Parts, &v.Parts) // ours
	for i := range v.Parts {
		if c := v.Parts[i].ToolCall; c != nil {
			c.Signature = nil // between us and the provider
		}
	}
	return v
}

// StreamPosition is how far a stream is known.
type StreamPosition struct {
	Stream   string `json:"stream"`
	Sequence int64  `json:"sequence"`
}

// LiveAnswer is the answer that is being written, so far.
type LiveAnswer struct {
	TurnID    int64          `json:"turn_id"`
	MessageID int64          `json:"message_id"`
	Attempt   int32          `json:"attempt"`
	Text      string         `json:"text" doc:"Of this attempt so far; the next piece has its length in characters as its offset"`
	Parts     []PlacedPart   `json:"parts"`
	AsOf      StreamPosition `json:"as_of" doc:"Of the turn's own stream"`
}
