package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

type listMessagesInput struct {
	IDInput
	PageInput
	Around int64 `query:"around" minimum:"0" doc:"A message of the branch that is shown: those before and after it"`
}

type messagesOutput struct {
	Body struct {
		Items      []chat.MessageView `json:"items" doc:"In the order of the conversation; without a cursor its end"`
		NextCursor *string            `json:"next_cursor" doc:"Of older messages; null: there are none"`
		PrevCursor *string            `json:"previous_cursor" doc:"Of newer messages; null: there are none"`
	}
}

type switchThreadInput struct {
	IDInput
	Body struct {
		MessageID int64 `json:"message_id" minimum:"1" doc:"The branch that was used last of those that hold it is shown"`
	}
}

type searchThreadsInput struct {
	PageInput
	Query    string `query:"q" required:"true" minLength:"1" maxLength:"500" doc:"Words; \"quoted\" ones together, -word without"`
	ThreadID int64  `query:"thread_id" minimum:"0"`
}

type exportThreadInput struct {
	IDInput
	Format string `query:"format" enum:"markdown,json" default:"markdown"`
}

func (s *server) registerThreadMessages() {
	handle(s, route{
		method: http.MethodGet, path: "/threads/{id}/messages", id: "list-messages", tag: "threads", permission: auth.Read,
		summary: "Messages of the conversation that a thread shows, by pages in both directions",
	}, s.listMessages)
	handle(s, route{
		method: http.MethodPost, path: "/threads/{id}/branch", id: "switch-branch", tag: "threads", permission: auth.Write, audit: true,
		summary: "Show the branch that a message is in",
	}, func(ctx context.Context, in *switchThreadInput) (*threadOutput, error) {
		return s.changeThread(ctx, "thread.branch", in.ID, func(ctx context.Context, tx *postgres.Tx, _ chat.Origin) (chat.Thread, error) {
			return s.deps.Threads.SwitchTx(ctx, tx, in.ID, in.Body.MessageID)
		})
	})
	handle(s, route{
		method: http.MethodGet, path: "/threads/search", id: "search-threads", tag: "threads", permission: auth.Read,
		summary: "Messages with these words, newest first",
	}, func(ctx context.Context, in *searchThreadsInput) (*pageOutput[chat.MessageHit], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		rows, err := s.deps.Threads.Search(ctx, chat.SearchQuery{Text: in.Query, ThreadID: in.ThreadID, BeforeID: before, Limit: in.Limit + 1})
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(h chat.MessageHit) int64 { return h.MessageID }, func(h chat.MessageHit) chat.MessageHit { return h }), nil
	})
	s.registerThreadExport()
}

func (s *server) listMessages(ctx context.Context, in *listMessagesInput) (*messagesOutput, error) {
	w := chat.Window{Around: in.Around, Limit: in.Limit}
	if in.Cursor != "" {
		depth, err := strconv.ParseInt(in.Cursor[1:], 36, 32)
		if err != nil || depth <= 0 || (in.Cursor[0] != 'b' && in.Cursor[0] != 'a') || in.Around != 0 {
			return nil, invalidCursor()
		}
		if in.Cursor[0] == 'b' {
			w.Before = int32(depth)
		} else {
			w.After = int32(depth)
		}
	}
	p, err := s.deps.Threads.Messages(ctx, in.ID, w)
	if err != nil {
		return nil, err
	}
	out := &messagesOutput{}
	out.Body.Items, out.Body.NextCursor, out.Body.PrevCursor = p.Items, depthCursor("b", p.Older), depthCursor("a", p.Newer)
	return out, nil
}

func (s *server) registerThreadExport() {
	op := s.operation(route{
		method: http.MethodGet, path: "/threads/{id}/export", id: "export-thread", tag: "threads", permission: auth.Read,
		summary: "The conversation that a thread shows, as a file",
	})
	binary := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	op.Responses = map[string]*huma.Response{"200": {
		Description: "OK", Content: map[string]*huma.MediaType{"text/markdown": binary, "application/json": binary},
	}}
	huma.Register(s.api, op, func(ctx context.Context, in *exportThreadInput) (*huma.StreamResponse, error) {
		asJSON := in.Format == "json"
		t, write, err := s.deps.Threads.Export(ctx, in.ID, asJSON)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(out huma.Context) { //nolint:contextcheck // the request's comes with out
			media, suffix := "text/markdown; charset=utf-8", ".md"
			if asJSON {
				media, suffix = "application/json", ".json"
			}
			out.SetHeader("Content-Type", media)
			out.SetHeader("X-Content-Type-Options", "nosniff")
			out.SetHeader("Cache-Control", "private, no-store")
			out.SetHeader("Content-Disposition", disposition(t.Title+suffix))
			out.SetStatus(http.StatusOK)
			if err := write(out.Context(), out.BodyWriter()); err != nil {
				noteError(out.Context(), err)
				panic(http.ErrAbortHandler) // so that nobody takes a part for the whole
			}
		}}, nil
	})
}

type attachInput struct {
	IDInput
	Name    string `query:"name" required:"true" minLength:"1" maxLength:"200" doc:"The file's name"`
	RawBody []byte `contentType:"application/octet-stream"`
}

type attachmentOutput struct{ Body chat.AttachmentView }

func (s *server) registerThreadFiles() {
	handle(s, route{
		method: http.MethodPost, path: "/threads/{id}/attachments", id: "attach-file", tag: "threads", permission: auth.Write, audit: true,
		summary: "Upload a file for the next message: text, PDF with text, PNG, JPEG, GIF or WebP", status: http.StatusCreated, body: chat.MaxUpload,
	}, func(ctx context.Context, in *attachInput) (*attachmentOutput, error) {
		u, err := s.deps.Threads.Read(ctx, in.Name, in.RawBody)
		if err != nil {
			return nil, err
		}
		return change(ctx, s, "thread.attached", "thread", in.ID, func(ctx context.Context, tx *postgres.Tx) (*attachmentOutput, error) {
			a, err := s.deps.Threads.AttachTx(ctx, tx, in.ID, u, origin(ctx))
			return &attachmentOutput{Body: chat.ViewAttachment(&a)}, err
		})
	})
	handle(s, route{
		method: http.MethodDelete, path: "/attachments/{id}", id: "delete-attachment", tag: "threads", permission: auth.Write, audit: true,
		summary: "Remove a file that was not sent", status: http.StatusNoContent,
	}, func(ctx context.Context, in *IDInput) (*struct{}, error) {
		return drop(ctx, s, "attachment.deleted", "attachment", in.ID, func(ctx context.Context, tx *postgres.Tx) error {
			return s.deps.Threads.DetachTx(ctx, tx, in.ID)
		})
	})
	stream(s, route{
		method: http.MethodGet, path: "/attachments/{id}/content", id: "get-attachment-content", tag: "threads", permission: auth.Read,
		summary: "The content of a file that was attached, as a download",
	}, "application/octet-stream", func(ctx context.Context, in *IDInput) (outgoing, error) {
		a, content, err := s.deps.Threads.OpenAttachment(ctx, in.ID)
		return outgoing{content: content, mediaType: a.MediaType, name: a.Name}, err
	})
}

type contextOutput struct{ Body chat.ContextView }

type usageOutput struct{ Body chat.UsageReport }

type usageInput struct {
	From string `query:"from" doc:"First day, YYYY-MM-DD; left out: 30 days ago"`
	To   string `query:"to" doc:"Last day; left out: today"`
}

type listActivityInput struct {
	PageInput
	ThreadID   int64     `query:"thread_id" minimum:"0"`
	Class      []string  `query:"class" enum:"thread_lifecycle,turn,retrieval_tool_usage,failure,compaction"`
	ReasonCode string    `query:"reason_code" maxLength:"100"`
	Since      time.Time `query:"since"`
}

func (s *server) registerThreadReports() {
	handle(s, route{
		method: http.MethodGet, path: "/threads/{id}/context", id: "get-thread-context", tag: "threads", permission: auth.Read,
		summary: "What the model's window would be filled with, were a message sent now",
	}, func(ctx context.Context, in *IDInput) (*contextOutput, error) {
		v, err := s.deps.Threads.Context(ctx, in.ID)
		return &contextOutput{Body: v}, err
	})
	handle(s, route{
		method: http.MethodGet, path: "/threads/{id}/usage", id: "get-thread-usage", tag: "threads", permission: auth.Read,
		summary: "What the turns of a thread used, by model",
	}, func(ctx context.Context, in *IDInput) (*usageOutput, error) {
		v, err := s.deps.Threads.ThreadUsage(ctx, in.ID)
		return &usageOutput{Body: v}, err
	})
	handle(s, route{
		method: http.MethodGet, path: "/chat/usage", id: "get-chat-usage", tag: "threads", permission: auth.Read,
		summary: "What all threads used, by model and day",
	}, s.chatUsage)
	handle(s, route{
		method: http.MethodGet, path: "/chat/activity", id: "list-chat-activity", tag: "threads", permission: auth.Read,
		summary: "What happened in threads, newest first",
	}, func(ctx context.Context, in *listActivityInput) (*pageOutput[chat.ActivityEntry], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		f := chat.ActivityFilter{ThreadID: in.ThreadID, Classes: in.Class, ReasonCode: in.ReasonCode, BeforeID: before, Limit: in.Limit + 1}
		if !in.Since.IsZero() {
			f.Since = &in.Since
		}
		rows, err := s.deps.Threads.ListActivity(ctx, f)
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(a chat.ActivityEntry) int64 { return a.ID }, func(a chat.ActivityEntry) chat.ActivityEntry { return a }), nil
	})
}

// maxUsageDays bounds a report.
const maxUsageDays = 400

func (s *server) chatUsage(ctx context.Context, in *usageInput) (*usageOutput, error) {
	to, from := s.deps.Now().UTC(), s.deps.Now().UTC().AddDate(0, 0, -30)
	for _, d := range []struct {
		name, given string
		to          *time.Time
	}{{"from", in.From, &from}, {"to", in.To, &to}} {
		if d.given == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, d.given)
		if err != nil || day.Year() < 1970 || day.Year() > 9999 {
			return nil, errs.E(errs.Invalid, "request.invalid", "The day cannot be read.",
				errs.Detail{Location: "query." + d.name, Message: "is not a day such as 2026-01-31"})
		}
		*d.to = day
	}
	if days := to.Sub(from).Hours() / 24; days < 0 || days > maxUsageDays {
		return nil, errs.E(errs.Invalid, "request.invalid", "The report covers 1 to "+strconv.Itoa(maxUsageDays)+" days.",
			errs.Detail{Location: "query.from", Message: "is after to, or too long before it"})
	}
	v, err := s.deps.Threads.UsageBetween(ctx, from, to)
	return &usageOutput{Body: v}, err
}

type chatSettingsView struct {
	chat.Settings
	ToolsPercent int `json:"tools_percent" doc:"What history and retrieval leave"`
}

type chatSettingsOutput struct {
	ETag string `header:"ETag"`
	Body chatSettingsView
}

type updateChatSettingsInput struct {
	IfMatch string `header:"If-Match"`
	Body    struct {
		OnBusy             *string            `json:"on_busy,omitempty" enum:"queue,refuse"`
		MaxQueuedTurns     *int               `json:"max_queued_turns,omitempty"`
		HistoryPercent     *int               `json:"history_percent,omitempty"`
		RetrievalPercent   *int               `json:"retrieval_percent,omitempty"`
		TriggerPercent     *int               `json:"trigger_percent,omitempty"`
		TargetPercent      *int               `json:"target_percent,omitempty"`
		PreserveTurns      *int               `json:"preserve_recent_turns,omitempty"`
		RetrievalTopK      *int               `json:"retrieval_top_k,omitempty"`
		DefaultWindow      *int               `json:"default_context_window_tokens,omitempty"`
		SummaryChars       *int               `json:"summary_max_chars,omitempty"`
		DefaultModelID     optional[int64]    `json:"default_model_id,omitzero"`
		DefaultComplexity  *string            `json:"default_response_complexity,omitempty" enum:"low,medium,high,extra_high"`
		TurnTimeoutSeconds *int               `json:"turn_timeout_seconds,omitempty"`
		UndoSeconds        *int               `json:"delete_undo_seconds,omitempty"`
		Currency           *string            `json:"currency,omitempty" maxLength:"3"`
		Prices             *[]chat.ModelPrice `json:"prices,omitempty" doc:"The whole table"`
	}
}

func viewChatSettings(v chat.Settings) chatSettingsView {
	return chatSettingsView{Settings: v, ToolsPercent: v.ToolsPercent()}
}

func (s *server) registerChatSettings() {
	handle(s, route{
		method: http.MethodGet, path: "/settings/" + chat.Section, id: "get-chat-settings", tag: "settings", permission: auth.Read,
		summary: "Budgets, prices and other settings of threads",
	}, func(ctx context.Context, _ *struct{}) (*chatSettingsOutput, error) {
		v, revision, err := chat.LoadSettings(ctx, s.deps.DB)
		if err != nil {
			return nil, err
		}
		return &chatSettingsOutput{ETag: etag(revision), Body: viewChatSettings(v)}, nil
	})
	handle(s, route{
		method: http.MethodPatch, path: "/settings/" + chat.Section, id: "update-chat-settings", tag: "settings", permission: auth.Manage, audit: true,
		summary: "Change settings of threads; what is left out stays",
	}, s.updateChatSettings)
}

func (s *server) updateChatSettings(ctx context.Context, in *updateChatSettingsInput) (*chatSettingsOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	// The members have the names of the settings, and those that were not given are left out.
	given, err := json.Marshal(in.Body)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, "setting.updated", "setting", 0, func(ctx context.Context, tx *postgres.Tx) (*chatSettingsOutput, error) {
		var failure error
		v, now, err := chat.SaveSettings(ctx, tx, revision, func(to *chat.Settings) { failure = json.Unmarshal(given, to) })
		if err == nil {
			err = failure
		}
		if err != nil {
			return nil, err
		}
		return &chatSettingsOutput{ETag: etag(now), Body: viewChatSettings(v)}, nil
	})
}
