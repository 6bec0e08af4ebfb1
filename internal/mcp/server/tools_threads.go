package server

import (
	"context"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/postgres"
)

type listThreadsInput struct {
	PageInput
	Status string `json:"status,omitempty" enum:"active,archived" jsonschema:"Only threads in this state"`
	Title  string `json:"title,omitempty" max:"200" jsonschema:"Part of the title"`
}

type getThreadInput struct {
	ID       int64 `json:"id" min:"1" jsonschema:"Id of the thread"`
	Messages int32 `json:"messages,omitempty" min:"1" max:"100" jsonschema:"How many of the newest messages; absent: 20"`
	Before   int32 `json:"before,omitempty" min:"1" jsonschema:"older of the page before, for older messages"`
}

type createThreadInput struct {
	KeyInput
	Title              string  `json:"title,omitempty" max:"200" jsonschema:"absent: one is made of the first message"`
	ModelID            *int64  `json:"model_id,omitempty" jsonschema:"Id of the model that answers, see llmctl_list_models; absent: the default of the settings"`
	ResponseComplexity string  `json:"response_complexity,omitempty" enum:"low,medium,high,extra_high" jsonschema:"How thorough answers are; absent: the default of the settings"`
	MCPServerIDs       []int64 `json:"mcp_server_ids,omitempty" max:"32" jsonschema:"MCP servers whose tools the model may use"`
	SourceIDs          []int64 `json:"source_ids,omitempty" max:"50" jsonschema:"Sources that answers look into"`
}

type sendMessageInput struct {
	KeyInput
	ThreadID    int64  `json:"thread_id" min:"1" jsonschema:"Id of the thread"`
	Message     string `json:"message" min:"1" max:"200000" jsonschema:"What to say to the model"`
	WaitSeconds int    `json:"wait_seconds,omitempty" min:"0" max:"300" jsonschema:"Wait so long for the answer; 0 or absent: answer at once with the ids"`
}

type turnInput struct {
	ThreadID int64 `json:"thread_id" min:"1" jsonschema:"Id of the thread"`
	TurnID   int64 `json:"turn_id" min:"1" jsonschema:"Id of the turn, as llmctl_send_message gave it"`
}

type waitTurnInput struct {
	turnInput
	WaitSeconds int `json:"wait_seconds,omitempty" min:"0" max:"300" jsonschema:"At most so long; 0: only look; absent: 0"`
}

type searchThreadsInput struct {
	PageInput
	Query    string `json:"query" min:"1" max:"500" jsonschema:"Words; \"quoted\" ones together, -word without"`
	ThreadID int64  `json:"thread_id,omitempty" min:"1" jsonschema:"Only in this thread"`
}

const usualMessages = 20

func threadTools(r *registry) {
	add(r, spec{
		name: "llmctl_list_threads", title: "List threads", permission: auth.Read, effect: reads,
		about: "Lists threads (conversations with a model), those with the newest activity first. llmctl_search_threads finds one by what was said in it.",
	}, listThreads)
	add(r, spec{
		name: "llmctl_get_thread", title: "Get a thread", permission: auth.Read, effect: reads,
		about: "Gives a thread with its newest messages in the order of the conversation, and the turns that have not ended. Long messages are cut; older gives the place to go on from for older ones.",
	}, getThread)
	add(r, spec{
		name: "llmctl_create_thread", title: "Begin a thread", permission: auth.Write, effect: adds,
		about: "Begins a conversation with a model. It is empty: llmctl_send_message says something in it. Model, tools and sources are chosen here and hold for all of its messages.",
	}, createThread)
	add(r, spec{
		name: "llmctl_send_message", title: "Send a message", permission: auth.Write, effect: executes, waits: true,
		about: "Says something in a thread and has the model answer it: that is a turn. With wait_seconds it waits for the answer; if that takes longer, finished is false and llmctl_get_turn waits on. While another message of the thread is answered, this one waits its turn or is refused, as the settings say.",
	}, sendMessage)
	add(r, spec{
		name: "llmctl_get_turn", title: "Get a turn", permission: auth.Read, effect: reads, waits: true,
		about: "Tells how a turn stands and what the model has answered so far. With wait_seconds it waits for the end, and reports progress; it may be called again and again.",
	}, func(ctx context.Context, c *call, in waitTurnInput) (TurnResult, error) {
		return c.waitForTurn(ctx, in.turnInput, time.Duration(min(in.WaitSeconds, maxWait))*time.Second)
	})
	add(r, spec{
		name: "llmctl_cancel_turn", title: "Stop an answer", permission: auth.Write, effect: changes,
		about: "Stops an answer that is being written or waits to be. What came so far stays in the thread.",
	}, cancelTurn)
	add(r, spec{
		name: "llmctl_search_threads", title: "Search in threads", permission: auth.Read, effect: reads,
		about: "Finds messages of all threads, or of one, by words, newest first. llmctl_get_thread then shows the conversation.",
	}, searchThreads)
}

func listThreads(ctx context.Context, c *call, in listThreadsInput) (PageOutput[Thread], error) {
	f := chat.Filter{Status: in.Status, Title: in.Title, Limit: in.rows(c.limits)}
	out := PageOutput[Thread]{Items: []Thread{}}
	if in.Cursor != "" {
		at, id, err := afterActivity(in.Cursor)
		if err != nil {
			return out, err
		}
		f.BeforeAt, f.BeforeID = &at, id
	}
	rows, err := c.Threads.List(ctx, f)
	if err != nil {
		return out, err
	}
	for i := range rows {
		if i == in.size(c.limits) {
			last := &rows[i-1].Thread
			out.NextCursor = new(activityCursor(last.LastActivityAt, last.ID))
			break
		}
		out.Items = append(out.Items, viewThread(&rows[i].Thread, rows[i].Busy))
	}
	out.Count = len(out.Items)
	return out, nil
}

func getThread(ctx context.Context, c *call, in getThreadInput) (ThreadDetail, error) {
	if in.Messages == 0 {
		in.Messages = usualMessages
	}
	d, err := c.Threads.Get(ctx, in.ID, in.Messages)
	if err != nil {
		return ThreadDetail{}, err
	}
	if in.Before > 0 {
		if d.Page, err = c.Threads.Messages(ctx, in.ID, chat.Window{Before: in.Before, Limit: in.Messages}); err != nil {
			return ThreadDetail{}, err
		}
	}
	return viewThreadDetail(&d), nil
}

func (c *call) origin() chat.Origin {
	by := c.user.UserID
	return chat.Origin{UserID: &by, RequestID: c.ids.request, CorrelationID: c.ids.correlation}
}

func createThread(ctx context.Context, c *call, in createThreadInput) (Thread, error) {
	key := in.IdempotencyKey
	in.IdempotencyKey = ""
	return repeatable(ctx, c, key, in, func(ctx context.Context, tx *postgres.Tx) (Thread, error) {
		t, err := c.Threads.CreateTx(ctx, tx, chat.ThreadFields{
			Title: in.Title, ModelID: in.ModelID, ResponseComplexity: in.ResponseComplexity, MCPServerIDs: in.MCPServerIDs, SourceIDs: in.SourceIDs,
		}, c.origin())
		if err != nil {
			return Thread{}, err
		}
		return viewThread(&t, false), c.audit(ctx, tx, "thread.created", "thread", t.ID)
	})
}

func sendMessage(ctx context.Context, c *call, in sendMessageInput) (TurnResult, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	sent, err := repeatable(limited, c, in.IdempotencyKey, []any{in.ThreadID, in.Message}, func(ctx context.Context, tx *postgres.Tx) (turnInput, error) {
		p, err := c.Threads.PostTx(ctx, tx, in.ThreadID, chat.Post{Message: in.Message}, c.origin())
		if err != nil {
			return turnInput{}, err
		}
		return turnInput{ThreadID: in.ThreadID, TurnID: p.Turn.ID}, c.audit(ctx, tx, "turn.created", "turn", p.Turn.ID)
	})
	if err != nil {
		return TurnResult{}, err
	}
	return c.waitForTurn(ctx, sent, time.Duration(in.WaitSeconds)*time.Second)
}

func cancelTurn(ctx context.Context, c *call, in turnInput) (TurnResult, error) {
	_, err := change(ctx, c, "turn.cancelled", "turn", in.TurnID, func(ctx context.Context, tx *postgres.Tx) (chat.Turn, error) {
		return c.Threads.CancelTx(ctx, tx, in.ThreadID, in.TurnID, c.origin())
	})
	if err != nil {
		return TurnResult{}, err
	}
	return c.turnResult(ctx, in)
}

func searchThreads(ctx context.Context, c *call, in searchThreadsInput) (PageOutput[MessageFound], error) {
	before, err := in.before()
	if err != nil {
		return PageOutput[MessageFound]{}, err
	}
	rows, err := c.Threads.Search(ctx, chat.SearchQuery{Text: in.Query, ThreadID: in.ThreadID, BeforeID: before, Limit: in.rows(c.limits)})
	if err != nil {
		return PageOutput[MessageFound]{}, err
	}
	return paged(rows, in.size(c.limits), func(h *chat.MessageHit) int64 { return h.MessageID }, viewFound), nil
}
