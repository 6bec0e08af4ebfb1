package app

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/chat/tooluse"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/llm/observed"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
)

// cancelTurnTopic carries orders to stop turns between processes.
const cancelTurnTopic = "cancel-turn"

// Enqueue implements chat.Enqueuer.
func (l lateTurns) Enqueue(ctx context.Context, tx *postgres.Tx, pointers []chat.Pointer) error {
	return l.s.queue.Insert(ctx, tx, turnPointers(pointers))
}

// lateTurns is the queue client that a studio will have.
type lateTurns struct{ s *studio }

func turnPointers(pointers []chat.Pointer) []queue.Pointer {
	out := make([]queue.Pointer, len(pointers))
	for i, p := range pointers {
		out[i] = queue.Pointer{Kind: chat.Kind, ID: p.ID, Queue: queue.Chat, At: p.At}
	}
	return out
}

// chatModels are the models of the catalog, as threads know them.
type chatModels struct{ catalog *catalog.Catalog }

// Model implements chat.Models.
func (c chatModels) Model(ctx context.Context, q postgres.Querier, id int64) (chat.Model, error) {
	m, p, err := c.catalog.GetModelIn(ctx, q, id)
	return chat.Model{ID: m.ID, Name: m.Name, ProviderKind: p.Kind, ProviderName: p.Name, Model: m.Model, Config: m.Config, Embeds: catalog.Embeds(m.Config)}, err
}

func newChat(s *studio) *chat.Service {
	return chat.New(chat.Options{
		DB: s.db, Log: s.events, Queue: lateTurns{s}, Models: chatModels{s.catalog}, Selectables: threadChoices{s.mcp.servers, s.sources},
		ToolCalls: turnCalls{s.mcp}, Documents: s.documents.Parser, Now: s.now, Logger: s.log,
		Signal: func(turnID int64) { s.bus.Signal(cancelTurnTopic, strconv.FormatInt(turnID, 10)) },
	})
}

// chatSide is what a process has that answers turns.
type chatSide struct {
	recorder *chat.Recorder
	worker   *chat.Worker
}

// newChatSide makes the answering part of the worker of that id.
func newChatSide(s *studio, id uuid.UUID, client *http.Client, fresh func() bool) *chatSide {
	c := &chatSide{recorder: chat.NewRecorder(s.db, s.events, s.log)}
	c.worker = chat.NewWorker(s.chat, chat.WorkerOptions{
		Retrieve: threadPassages{s.asking.Service},
		ID:       id, Fresh: fresh, Recorder: c.recorder, Logger: s.log,
		Answerer: tooluse.Answerer{
			Open: func(ctx context.Context, modelID int64) (llm.Provider, error) {
				return s.openModel(ctx, client, modelID)
			},
			Tools: turnTools{s.mcp}.open,
		},
		Worked: func(waited, took time.Duration, failed bool) { s.meter.Worked(queue.Chat, waited, took, failed) },
	})
	s.bus.OnSignal(cancelTurnTopic, func(key string) { c.worker.Cancel(cancelKey(key)) })
	return c
}

func (c *chatSide) handler() queue.Handler {
	return queue.Handler{Kind: chat.Kind, Work: c.worker.Work, Drain: c.worker.Drain}
}

// openModel gives the provider of a model, seen by figures and traces.
func (s *studio) openModel(ctx context.Context, client *http.Client, modelID int64) (llm.Provider, error) {
	_, row, err := s.catalog.GetModel(ctx, modelID)
	if err != nil {
		return nil, err
	}
	key, err := s.catalog.Key(row)
	if err != nil {
		return nil, err
	}
	p, err := registry.New(registry.Spec{Kind: row.Kind, Name: row.Name, BaseURL: row.BaseUrl, APIKey: key}, client)
	if err != nil {
		return nil, err
	}
	return observed.Provider(p, observed.Target{Kind: row.Kind, BaseURL: row.BaseUrl}, observed.Options{
		Called: s.observer.called, Content: s.cfg.Telemetry.CaptureContent, Now: s.now,
	}), nil
}

// chatDomain is what the sweep does for turns.
type chatDomain struct{ *chat.Service }

// Due implements queue.Domain.
func (d chatDomain) Due(ctx context.Context) ([]queue.Pointer, error) {
	due, err := d.Service.Due(ctx)
	return turnPointers(due), err
}

// stop tells what works attempts of this process to stop.
func (w *workSide) stop(runner interface{ Cancel(nodeRunID int64) }) func(held []queue.Held) {
	return func(held []queue.Held) {
		for _, h := range held {
			if h.TurnID != 0 {
				w.chat.worker.Cancel(h.TurnID)
				continue
			}
			runner.Cancel(h.NodeRunID)
		}
	}
}
