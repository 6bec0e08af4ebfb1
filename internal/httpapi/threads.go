package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/postgres"
)

type createThreadInput struct {
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           struct {
		Title              string  `json:"title,omitempty" maxLength:"200" doc:"Empty: one is made of the first message"`
		ModelID            *int64  `json:"model_id,omitempty" minimum:"1" doc:"Left out: the default of the settings, else the newest"`
		ResponseComplexity string  `json:"response_complexity,omitempty" enum:"low,medium,high,extra_high"`
		MCPServerIDs       []int64 `json:"mcp_server_ids,omitempty"`
		SourceIDs          []int64 `json:"source_ids,omitempty"`
	}
}

type updateThreadInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
	Body    struct {
		Title              *string         `json:"title,omitempty" maxLength:"200"`
		ModelID            optional[int64] `json:"model_id,omitzero"`
		ResponseComplexity *string         `json:"response_complexity,omitempty" enum:"low,medium,high,extra_high"`
		MCPServerIDs       *[]int64        `json:"mcp_server_ids,omitempty"`
		SourceIDs          *[]int64        `json:"source_ids,omitempty"`
	}
}

type threadOutput struct {
	ETag string `header:"ETag"`
	Body chat.ThreadView
}

type listThreadsInput struct {
	PageInput
	Status string `query:"status" enum:"active,archived"`
	Title  string `query:"title" maxLength:"200" doc:"Part of the title"`
}

type getThreadInput struct {
	IDInput
	Limit int32 `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many of the newest messages"`
}

type threadDetailOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		chat.ThreadView
		Messages   []chat.MessageView  `json:"messages" doc:"The end of the conversation that is shown, in order"`
		NextCursor *string             `json:"next_cursor" doc:"Of older messages; null: there are none"`
		Turns      []chat.TurnView     `json:"turns" doc:"That have not ended, the first one first"`
		Live       *chat.LiveAnswer    `json:"live" doc:"The answer that is being written, so far"`
		Currency   string              `json:"currency" doc:"Of the costs"`
		AsOf       chat.StreamPosition `json:"as_of" doc:"Of the thread's stream"`
	}
}

func (s *server) registerThreads() {
	s.registerThreadResource()
	s.registerThreadStates()
	s.registerTurns()
	s.registerThreadMessages()
	s.registerThreadFiles()
	s.registerThreadReports()
	s.registerChatSettings()
}

func (s *server) registerThreadResource() {
	handle(s, route{
		method: http.MethodPost, path: "/threads", id: "create-thread", tag: "threads", permission: auth.Write, audit: true, idempotent: true,
		summary: "Begin a thread", status: http.StatusCreated,
	}, s.createThread)
	handle(s, route{
		method: http.MethodGet, path: "/threads", id: "list-threads", tag: "threads", permission: auth.Read, summary: "Threads, those with the newest activity first",
	}, s.listThreads)
	handle(s, route{
		method: http.MethodGet, path: "/threads/{id}", id: "get-thread", tag: "threads", permission: auth.Read,
		summary: "A thread with its newest messages and the answer that is being written",
	}, s.getThread)
	handle(s, route{
		method: http.MethodPatch, path: "/threads/{id}", id: "update-thread", tag: "threads", permission: auth.Write, audit: true,
		summary: "Rename a thread, or choose another model, complexity, MCP servers or sources for it",
	}, s.updateThread)
	handle(s, route{
		method: http.MethodDelete, path: "/threads/{id}", id: "delete-thread", tag: "threads", permission: auth.Write, audit: true,
		summary: "Delete a thread; until undo_until it can be restored", status: http.StatusAccepted,
	}, func(ctx context.Context, in *orderDownloadInput) (*threadOutput, error) {
		revision, err := ifMatch(in.IfMatch)
		if err != nil {
			return nil, err
		}
		return s.changeThread(ctx, "thread.deleted", in.ID, func(ctx context.Context, tx *postgres.Tx, by chat.Origin) (chat.Thread, error) {
			return s.deps.Threads.DeleteTx(ctx, tx, in.ID, revision, by)
		})
	})
}

func (s *server) registerThreadStates() {
	for _, o := range []struct {
		name, action, summary string
		do                    func(ctx context.Context, tx *postgres.Tx, id int64, by chat.Origin) (chat.Thread, error)
	}{
		{"archive", "archived", "Put a thread aside; it takes no messages until it is restored", s.deps.Threads.ArchiveTx},
		{"restore", "restored", "Bring back a thread that was archived, or deleted a moment ago", s.deps.Threads.RestoreTx},
		{"clear", "cleared", "Remove all messages of a thread; what it used stays counted", s.deps.Threads.ClearTx},
	} {
		handle(s, route{
			method: http.MethodPost, path: "/threads/{id}/" + o.name, id: o.name + "-thread", tag: "threads", permission: auth.Write, audit: true, summary: o.summary,
		}, func(ctx context.Context, in *IDInput) (*threadOutput, error) {
			return s.changeThread(ctx, "thread."+o.action, in.ID, func(ctx context.Context, tx *postgres.Tx, by chat.Origin) (chat.Thread, error) {
				return o.do(ctx, tx, in.ID, by)
			})
		})
	}
}

// origin is who asks, for rows that remember it.
func origin(ctx context.Context) chat.Origin {
	v, by := idsFrom(ctx), user(ctx).UserID
	return chat.Origin{UserID: &by, RequestID: v.Request, CorrelationID: v.Correlation}
}

func (s *server) changeThread(ctx context.Context, action string, id int64, f func(ctx context.Context, tx *postgres.Tx, by chat.Origin) (chat.Thread, error)) (*threadOutput, error) {
	return change(ctx, s, action, "thread", id, func(ctx context.Context, tx *postgres.Tx) (*threadOutput, error) {
		t, err := f(ctx, tx, origin(ctx))
		if err != nil {
			return nil, err
		}
		return &threadOutput{ETag: etag(t.Revision), Body: chat.ViewThread(&t, false)}, nil
	})
}

func (s *server) createThread(ctx context.Context, in *createThreadInput) (*threadOutput, error) {
	return idempotent(ctx, s, "create-thread", in.IdempotencyKey, in.Body, func(ctx context.Context, tx *postgres.Tx) (*threadOutput, error) {
		t, err := s.deps.Threads.CreateTx(ctx, tx, chat.ThreadFields{
			Title: in.Body.Title, ModelID: in.Body.ModelID, ResponseComplexity: in.Body.ResponseComplexity,
			MCPServerIDs: in.Body.MCPServerIDs, SourceIDs: in.Body.SourceIDs,
		}, origin(ctx))
		if err != nil {
			return nil, err
		}
		return &threadOutput{ETag: etag(t.Revision), Body: chat.ViewThread(&t, false)}, s.audit(ctx, tx, "thread.created", "thread", t.ID)
	})
}

func (s *server) updateThread(ctx context.Context, in *updateThreadInput) (*threadOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return s.changeThread(ctx, "thread.updated", in.ID, func(ctx context.Context, tx *postgres.Tx, _ chat.Origin) (chat.Thread, error) {
		return s.deps.Threads.UpdateTx(ctx, tx, in.ID, revision, func(f *chat.ThreadFields) {
			if in.Body.Title != nil {
				f.Title = *in.Body.Title
			}
			if in.Body.ModelID.Set {
				f.ModelID = in.Body.ModelID.Value
			}
			if in.Body.ResponseComplexity != nil {
				f.ResponseComplexity = *in.Body.ResponseComplexity
			}
			if in.Body.MCPServerIDs != nil {
				f.MCPServerIDs = *in.Body.MCPServerIDs
			}
			if in.Body.SourceIDs != nil {
				f.SourceIDs = *in.Body.SourceIDs
			}
		})
	})
}

func (s *server) listThreads(ctx context.Context, in *listThreadsInput) (*pageOutput[chat.ThreadView], error) {
	f := chat.Filter{Status: in.Status, Title: in.Title, Limit: in.Limit + 1}
	if in.Cursor != "" {
		at, id, ok := readActivityCursor(in.Cursor)
		if !ok {
			return nil, invalidCursor()
		}
		f.BeforeAt, f.BeforeID = &at, id
	}
	rows, err := s.deps.Threads.List(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &pageOutput[chat.ThreadView]{Body: page[chat.ThreadView]{Items: make([]chat.ThreadView, 0, len(rows))}}
	for i := range rows {
		if int32(i) == in.Limit {
			last := &rows[i-1].Thread
			out.Body.NextCursor = new(placeCursor(last.LastActivityAt, last.ID))
			break
		}
		out.Body.Items = append(out.Body.Items, chat.ViewThread(&rows[i].Thread, rows[i].Busy))
	}
	return out, nil
}

// readActivityCursor reads what placeCursor wrote.
func readActivityCursor(cursor string) (time.Time, int64, bool) {
	when, which, found := strings.Cut(strings.TrimPrefix(cursor, "t"), ".")
	micros, err := strconv.ParseInt(when, 36, 64)
	id, err2 := strconv.ParseInt(which, 36, 64)
	ok := found && strings.HasPrefix(cursor, "t") && err == nil && err2 == nil && id > 0 && micros > 0 && micros < 1<<53
	return time.UnixMicro(micros).UTC(), id, ok
}

func (s *server) getThread(ctx context.Context, in *getThreadInput) (*threadDetailOutput, error) {
	d, err := s.deps.Threads.Get(ctx, in.ID, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &threadDetailOutput{ETag: etag(d.Thread.Revision)}
	out.Body.ThreadView = chat.ViewThread(&d.Thread, len(d.Unfinished) > 0)
	out.Body.Messages, out.Body.Live, out.Body.AsOf, out.Body.Currency = d.Page.Items, d.Live, d.AsOf, d.Prices
	out.Body.NextCursor = depthCursor("b", d.Page.Older)
	out.Body.Turns = make([]chat.TurnView, len(d.Unfinished))
	for i := range d.Unfinished {
		out.Body.Turns[i] = chat.ViewTurn(&d.Unfinished[i])
	}
	return out, nil
}
