// Package kind holds the handlers of the kinds of nodes that do work, and says
// which executor each needs. A sub-package per kind does one kind's work from a
// rendered payload; it must not know flowcharts, databases or other kinds.
package kind

import (
	"context"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/observed"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/node/kind/httpcall"
	"github.com/llmctl/studio/internal/node/kind/rag"
	"github.com/llmctl/studio/internal/node/kind/script"
	"github.com/llmctl/studio/internal/node/kind/task"
)

// The kinds that have a handler here.
const (
	Task   = "task"
	HTTP   = "http"
	Script = "script"
	// RAG is retrieval in flowcharts, RAGIndex an index run on its own.
	RAG      = rag.Kind
	RAGIndex = rag.IndexKind
)

// Input is what a handler gets; templates in its config are rendered.
type Input = executor.Payload

// Handler does the work of one kind of node. It honours ctx, reports through sink
// and returns the result; it never panics on bad input.
type Handler interface {
	Run(ctx context.Context, in Input, sink executor.Sink) executor.Result
}

// Options are what the handlers need from outside.
type Options struct {
	Observe      observed.Options // who sees the calls of providers
	LLMClient    *http.Client     // shared by all providers; nil makes one of llm.NewClient
	HTTPAllow    []string         // hosts, addresses and networks that http nodes may reach although private
	ScriptNodes  bool             // whether script nodes may run at all
	Workspace    string           // the private folder of this attempt; "" outside an executor process
	Path         string           // PATH of scripts
	HTTPMaxBytes int64            // of a request or response body; 0 means 4 MiB
	Tools        task.Tools       // what models of task nodes may use; nil outside a worker
	RAG          rag.Options      // retrieval; empty outside a worker
}

// Handlers makes the handlers by kind. A faulty HTTPAllow is an error.
func Handlers(o Options) (map[string]Handler, error) {
	client := o.LLMClient
	if client == nil {
		client = llm.NewClient(llm.ClientOptions{})
	}
	call, err := httpcall.New(httpcall.Options{Allow: o.HTTPAllow, MaxBytes: o.HTTPMaxBytes})
	if err != nil {
		return nil, err
	}
	retrieval := rag.New(o.RAG)
	return map[string]Handler{
		RAG: retrieval, RAGIndex: retrieval,
		Task: task.New(func(s registry.Spec) (llm.Provider, error) { return open(s, client, o.Observe) }, o.Tools, time.Now),
		HTTP: call,
		Script: script.New(script.Options{
			Enabled: o.ScriptNodes, Workspace: o.Workspace, Path: o.Path,
		}),
	}, nil
}

// PayloadRunner runs payloads that bring along what their attempts may do: in a child
// process or a pod, which know nothing else of the Studio's settings.
func PayloadRunner(o Options) executor.Runner {
	return func(ctx context.Context, p executor.Payload, sink executor.Sink) executor.Result {
		own := o
		own.HTTPAllow = p.Limits.HTTPAllow
		handlers, err := Handlers(own)
		if err != nil {
			return executor.Failuref(executor.CodeConfig, false, "What http nodes may reach cannot be read from limits.http_allow of the payload: %s", errs.As(err).Message)
		}
		return Runner(handlers)(ctx, p, sink)
	}
}

// open makes the provider of a spec, whose calls are seen.
func open(s registry.Spec, client *http.Client, o observed.Options) (llm.Provider, error) {
	p, err := registry.New(s, client)
	if err != nil {
		return nil, err
	}
	return observed.Provider(p, observed.Target{Kind: s.Kind, BaseURL: s.BaseURL}, o), nil
}

// NeedsProcess reports whether nodes of a kind must run in a process of their own,
// because they run commands or touch files.
func NeedsProcess(kind string) bool { return kind == Script }

// Runner runs each payload with the handler of its kind.
func Runner(handlers map[string]Handler) executor.Runner {
	return func(ctx context.Context, p executor.Payload, sink executor.Sink) executor.Result {
		h, ok := handlers[p.Kind]
		if !ok {
			return executor.Failuref(executor.CodeKind, false, "This executor cannot run nodes of the kind %q.", p.Kind)
		}
		return h.Run(ctx, p, sink)
	}
}
