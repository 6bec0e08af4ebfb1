package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

type postTurnInput struct {
	IDInput
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           struct {
		Message       string  `json:"message" maxLength:"200000"`
		AttachmentIDs []int64 `json:"attachment_ids,omitempty" maxItems:"20" doc:"Files that were uploaded to this thread and not sent yet"`
		EditOf        int64   `json:"edit_of,omitempty" minimum:"1" doc:"The message of a user that this one replaces; a new branch begins beside it"`
		ParentID      int64   `json:"parent_id,omitempty" minimum:"1" doc:"The answer that this message follows, if not the last one; a new branch begins there"`
	}
}

// TurnInput names a turn of a thread.
type TurnInput struct {
	IDInput
	TurnID int64 `path:"turn_id" minimum:"1"`
}

type regenerateTurnInput struct {
	TurnInput
	IdempotencyKey string `header:"Idempotency-Key"`
}

type postedTurn struct {
	Turn     chat.TurnView      `json:"turn"`
	Messages []chat.MessageView `json:"messages" doc:"The message and the place of its answer"`
}

type postedTurnOutput struct {
	Body postedTurn `json:"body"`
}

type turnOutput struct {
	Body struct {
		Turn chat.TurnView `json:"turn"`
	}
}

type turnDetailOutput struct {
	Body struct {
		Turn     chat.TurnView          `json:"turn"`
		Attempts []chat.TurnAttemptView `json:"attempts" doc:"The newest first, at most 50"`
		Live     *chat.LiveAnswer       `json:"live" doc:"What it has streamed so far; null: it has ended, or not begun"`
	}
}

type listTurnsInput struct {
	IDInput
	PageInput
}

func (s *server) registerTurns() {
	op := s.operation(route{
		method: http.MethodPost, path: "/threads/{id}/turns", id: "post-turn", tag: "threads", permission: auth.Write, audit: true, idempotent: true,
		summary: "Send a message; the answer comes in the thread's events", status: http.StatusAccepted, body: maxInputBody,
	})
	op.Middlewares = append(op.Middlewares, s.refuseSelectors)
	op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusConflict)
	huma.Register(s.api, op, s.postTurn)
	handle(s, route{
		method: http.MethodGet, path: "/threads/{id}/turns", id: "list-turns", tag: "threads", permission: auth.Read, summary: "Turns of a thread, newest first",
	}, s.listTurns)
	handle(s, route{
		method: http.MethodGet, path: "/threads/{id}/turns/{turn_id}", id: "get-turn", tag: "threads", permission: auth.Read,
		summary: "A turn with its attempts and what it has streamed so far",
	}, s.getTurn)
	handle(s, route{
		method: http.MethodPost, path: "/threads/{id}/turns/{turn_id}/cancel", id: "cancel-turn", tag: "threads", permission: auth.Write, audit: true,
		summary: "Stop an answer; what came so far stays", status: http.StatusAccepted,
	}, func(ctx context.Context, in *TurnInput) (*turnOutput, error) {
		return change(ctx, s, "turn.cancelled", "turn", in.TurnID, func(ctx context.Context, tx *postgres.Tx) (*turnOutput, error) {
			t, err := s.deps.Threads.CancelTx(ctx, tx, in.ID, in.TurnID, origin(ctx))
			out := &turnOutput{}
			out.Body.Turn = chat.ViewTurn(&t)
			return out, err
		})
	})
	handle(s, route{
		method: http.MethodPost, path: "/threads/{id}/turns/{turn_id}/regenerate", id: "regenerate-turn", tag: "threads", permission: auth.Write, audit: true,
		idempotent: true, summary: "Ask for another answer to the same message, beside the first", status: http.StatusAccepted,
	}, s.regenerateTurn)
}

// selectors are what a thread chooses and a turn must not, by all names they have.
func selectors() []string {
	return []string{
		"model_id", "model", "model_name", "response_complexity", "mcp_server_ids", "mcp_servers", "mcp_server_keys", "source_ids", "collections",
		"rag_collections", "selected_rag_collections",
	}
}

// refuseSelectors answers a turn that wants to choose what its thread chooses, before
// anything else about it is looked at.
func (s *server) refuseSelectors(ctx huma.Context, next func(huma.Context)) {
	r, w := humaUnwrap(ctx)
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxInputBody+1))
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(raw), cutBody{err}))
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) == nil {
		p := &Problem{
			Type: "about:blank", Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest, Code: chat.CodeSelectorOverride,
			Reason: "turn.selector_override", Errors: []errs.Detail{},
			Detail: "Model, response complexity, MCP servers and sources are chosen for a whole thread. Change the thread with PATCH, then send the message.",
		}
		for _, name := range selectors() {
			if _, given := members[name]; given {
				p.Errors = append(p.Errors, errs.Detail{Location: "body." + name, Message: "is chosen for the thread, not for a turn"})
			}
		}
		if len(p.Errors) > 0 {
			writeSelectorProblem(ctx, p)
			return
		}
	}
	next(ctx)
}

func writeSelectorProblem(ctx huma.Context, p *Problem) {
	ids := idsFrom(ctx.Context())
	p.RequestID, p.CorrelationID, p.TraceID = ids.Request, ids.Correlation, traceIDOf(ctx.Context())
	ctx.SetHeader("Content-Type", p.ContentType(""))
	ctx.SetStatus(p.Status)
	_ = json.NewEncoder(ctx.BodyWriter()).Encode(p) //nolint:errchkjson // the client may be gone
}

// cutBody gives the error with which a body ended, once it is read.
type cutBody struct{ err error }

// Read implements io.Reader.
func (f cutBody) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

func posted(p chat.Posted) postedTurn {
	return postedTurn{Turn: chat.ViewTurn(&p.Turn), Messages: []chat.MessageView{chat.ViewMessage(&p.User), chat.ViewMessage(&p.Assistant)}}
}

func (s *server) postTurn(ctx context.Context, in *postTurnInput) (*postedTurnOutput, error) {
	request := struct {
		Thread int64
		Body   any
	}{in.ID, in.Body}
	return idempotent(ctx, s, "post-turn", in.IdempotencyKey, request, func(ctx context.Context, tx *postgres.Tx) (*postedTurnOutput, error) {
		p, err := s.deps.Threads.PostTx(ctx, tx, in.ID, chat.Post{
			Message: in.Body.Message, AttachmentIDs: in.Body.AttachmentIDs, EditOf: in.Body.EditOf, ParentID: in.Body.ParentID,
		}, origin(ctx))
		if err != nil {
			return nil, err
		}
		return &postedTurnOutput{Body: posted(p)}, s.audit(ctx, tx, "turn.created", "turn", p.Turn.ID)
	})
}

func (s *server) regenerateTurn(ctx context.Context, in *regenerateTurnInput) (*postedTurnOutput, error) {
	return idempotent(ctx, s, "regenerate-turn", in.IdempotencyKey, in.TurnInput, func(ctx context.Context, tx *postgres.Tx) (*postedTurnOutput, error) {
		p, err := s.deps.Threads.RegenerateTx(ctx, tx, in.ID, in.TurnID, origin(ctx))
		if err != nil {
			return nil, err
		}
		return &postedTurnOutput{Body: posted(p)}, s.audit(ctx, tx, "turn.regenerated", "turn", p.Turn.ID)
	})
}

func (s *server) listTurns(ctx context.Context, in *listTurnsInput) (*pageOutput[chat.TurnView], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	rows, err := s.deps.Threads.Turns(ctx, in.ID, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return paged(rows, in.Limit, func(t chat.Turn) int64 { return t.ID }, func(t chat.Turn) chat.TurnView { return chat.ViewTurn(&t) }), nil
}

func (s *server) getTurn(ctx context.Context, in *TurnInput) (*turnDetailOutput, error) {
	d, err := s.deps.Threads.GetTurn(ctx, in.ID, in.TurnID)
	if err != nil {
		return nil, err
	}
	out := &turnDetailOutput{}
	out.Body.Turn, out.Body.Attempts, out.Body.Live = chat.ViewTurn(&d.Turn), d.Attempts, d.Live
	return out, nil
}

// depthCursor names a place in a conversation; nil: there is nothing beyond.
func depthCursor(direction string, depth int32) *string {
	if depth == 0 {
		return nil
	}
	return new(direction + strconv.FormatInt(int64(depth), 36))
}
