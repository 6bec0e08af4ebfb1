package tracing

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
	"github.com/llmctl/studio/internal/testkit/oteltest"
)

const (
	givenTrace  = "0af7651916cd43dd8448eb211c80319c"
	givenParent = "b7ad6b7169203331"
	given       = "00-" + givenTrace + "-" + givenParent + "-01"
)

// one gives the only span of a name.
func one(t *testing.T, spans []oteltest.Span, name string) oteltest.Span {
	t.Helper()
	found := oteltest.Named(spans, name)
	require.Len(t, found, 1, "%s in\n%s", name, oteltest.Tree(spans))
	return found[0]
}

func ended(trace string) func([]oteltest.Span) bool {
	return func(spans []oteltest.Span) bool {
		// The server span and the run's come last of their processes.
		of := oteltest.Of(spans, trace)
		run, request := false, false
		for _, s := range of {
			run = run || strings.HasPrefix(s.Name, "invoke_workflow ")
			request = request || s.Kind == "SERVER" && s.Attrs["http.request.method"] == "POST"
		}
		return run && request
	}
}

func TestOneRequestIsOneConnectedTreeOverAllProcesses(t *testing.T) {
	t.Parallel()
	collector, llm := oteltest.New(t), llmtest.New(t)
	llm.On("", llmtest.Reply{Text: "one two three", Model: "scripted-model-2026", Input: 7, Output: 3})
	s := newStack(t, collector, map[string]string{
		"LLMCTL_STUDIO_TRACE_URL": "https://traces.example.org/t/{trace_id}", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
		"OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20secret", "LLMCTL_STUDIO_HTTP_NODE_ALLOW": "127.0.0.1",
	})
	s.start("worker")
	called := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called <- r.Header.Get("traceparent") }))
	defer other.Close()
	f := s.flowchart("Greeting",
		[3]any{"call", "http", map[string]any{"method": "GET", "url": other.URL + "/x"}},
		[3]any{"ask", "task", map[string]any{"prompt": "SAY {{ input.text }}", "model_id": s.model(llm.OpenAIURL()), "params": map[string]any{"temperature": 0.5}}},
		[3]any{"shell", "script", map[string]any{"script": "echo $TRACEPARENT; env", "shell": "sh"}})
	r := s.await(s.run(f, "traceparent", given, "X-Request-ID", "req-1", "X-Correlation-ID", "cor-1").Run.ID, "succeeded")
	require.Equal(t, givenTrace, r.Run.TraceID)
	require.Equal(t, "https://traces.example.org/t/"+givenTrace, r.Run.TraceURL)

	spans := oteltest.Of(collector.Await(t, "the run's trace", ended(givenTrace)), givenTrace)
	require.Empty(t, oteltest.Orphans(spans, givenParent), "%s", oteltest.Tree(spans))
	request := one(t, spans, "POST /api/flowcharts/{id}/runs")
	require.Equal(t, givenParent, request.Parent)
	require.Equal(t, "SERVER", request.Kind)
	require.Equal(t, "serve", request.Resource["llmctl.role"])
	require.Equal(t, "llmctl-studio", request.Resource["service.name"])
	require.Equal(t, "test", request.Resource["deployment.environment.name"])
	require.Subset(t, request.Attrs, map[string]any{
		"http.request.method": "POST", "http.route": "/api/flowcharts/{id}/runs", "http.response.status_code": int64(202),
		"llmctl.request_id": "req-1", "llmctl.correlation_id": "cor-1",
	})
	flow := one(t, spans, "invoke_workflow Greeting")
	require.Equal(t, request.ID, flow.Parent)
	require.Subset(t, flow.Attrs, map[string]any{
		"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "Greeting", "llmctl.flowchart_run.id": r.Run.ID,
		"llmctl.flowchart_run.status": "succeeded", "llmctl.request_id": "req-1",
	})
	task, script := one(t, spans, "node task"), one(t, spans, "node script")
	for _, n := range []oteltest.Span{task, script} {
		require.Equal(t, flow.ID, n.Parent)
		require.Equal(t, "worker", n.Resource["llmctl.role"])
		require.Subset(t, n.Attrs, map[string]any{"llmctl.attempt.number": int64(1), "llmctl.attempt.status": "succeeded", "llmctl.correlation_id": "cor-1"})
	}
	require.Contains(t, task.Events, "first_token")
	require.Len(t, oteltest.Named(spans, "wait llmctl_studio"), 3)
	get := one(t, spans, "GET")
	require.Equal(t, one(t, spans, "node http").ID, get.Parent)
	require.Equal(t, "00-"+givenTrace+"-"+get.ID+"-01", <-called, "the trace goes on where an http node calls")
	chat := one(t, spans, "chat scripted-model")
	require.Equal(t, task.ID, chat.Parent)
	require.Equal(t, "CLIENT", chat.Kind)
	host, _, _ := strings.Cut(strings.TrimPrefix(llm.URL(), "http://"), ":")
	require.Subset(t, chat.Attrs, map[string]any{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "scripted-model",
		"gen_ai.response.model": "scripted-model-2026", "gen_ai.usage.input_tokens": int64(7), "gen_ai.usage.output_tokens": int64(3),
		"gen_ai.response.finish_reasons": []any{"stop"}, "gen_ai.request.temperature": 0.5, "server.address": host,
	})
	require.NotContains(t, chat.Attrs, "gen_ai.input.messages", "content only when it is asked for")
	require.NotContains(t, chat.Attrs, "gen_ai.output.messages")
	execute := one(t, spans, "execute script")
	require.Equal(t, script.ID, execute.Parent)
	require.NotEqual(t, execute.Resource["process.pid"], execute.Attrs["process.pid"], "the span is of a process of its own")
	for _, n := range oteltest.Named(spans, "commit attempt") {
		require.Contains(t, []string{task.ID, script.ID, get.Parent}, n.Parent)
	}
	for _, n := range oteltest.Named(spans, "append events") {
		require.NotEmpty(t, n.Attrs["llmctl.events.count"])
	}
	require.Len(t, oteltest.Named(spans, "commit attempt"), 3)
	_, headers := collector.Requests()
	require.Equal(t, "a secret", headers.Get("x-key"))
	var problem struct {
		TraceID string `json:"trace_id"`
	}
	s.call(404, "GET", "/api/flowchart-runs/999", nil, &problem, "traceparent", given)
	require.Equal(t, givenTrace, problem.TraceID, "an error names its trace")
	require.NotContains(t, scriptOutput(s, r.Run.ID), "OTEL_", "the child's environment is clean")
}

func scriptOutput(s *stack, run int64) string {
	var out struct {
		Nodes []struct {
			Node   string `json:"flowchart_node_id"`
			Output struct {
				Stdout string `json:"stdout"`
			} `json:"output_state"`
		} `json:"node_runs"`
	}
	s.call(200, "GET", "/api/flowchart-runs/"+itoa(run), nil, &out)
	for _, n := range out.Nodes {
		if n.Node == "shell" {
			return n.Output.Stdout
		}
	}
	s.t.Fatal("the script did not run")
	return ""
}

func TestAKilledWorkersSecondAttemptHangsInTheSameTree(t *testing.T) {
	t.Parallel()
	collector, llm := oteltest.New(t), llmtest.New(t)
	llm.On("SECOND", llmtest.Reply{Hang: true, HangAt: 1, Text: "never comes"}, llmtest.Reply{Text: "done"})
	s := newStack(t, collector, nil)
	victim := s.start("worker")
	model := s.model(llm.OpenAIURL())
	f := s.flowchart("Two", [3]any{"a", "task", map[string]any{"prompt": "FIRST", "model_id": model}}, [3]any{"b", "task", map[string]any{"prompt": "SECOND", "model_id": model}})
	r := s.run(f)
	require.Len(t, r.Run.TraceID, 32, "a request without a traceparent begins a trace")
	s.eventually("the second node asks its model", func() bool { return llm.Count("SECOND") == 1 })
	s.end(victim, syscall.SIGKILL)
	heir := s.start("worker")
	s.await(r.Run.ID, "succeeded")

	spans := oteltest.Of(collector.Await(t, "the run's trace", ended(r.Run.TraceID)), r.Run.TraceID)
	require.Empty(t, oteltest.Orphans(spans, ""), "%s", oteltest.Tree(spans))
	flow := one(t, spans, "invoke_workflow Two")
	attempts := map[int64]oteltest.Span{}
	for _, n := range oteltest.Named(spans, "node task") {
		require.Equal(t, flow.ID, n.Parent)
		if n.Attrs["llmctl.node.id"] == "b" {
			attempts[n.Attrs["llmctl.attempt.number"].(int64)] = n
		}
	}
	require.Len(t, attempts, 2, "%s", oteltest.Tree(spans))
	lost, again := attempts[1], attempts[2]
	require.Equal(t, "lost", lost.Attrs["llmctl.attempt.status"])
	require.True(t, lost.Failed)
	require.Equal(t, "lost", lost.Attrs["error.type"])
	require.NotEqual(t, lost.Attrs["llmctl.attempt.worker"], again.Attrs["llmctl.attempt.worker"])
	require.Len(t, again.Links, 1)
	require.Equal(t, lost.ID, again.Links[0].Span, "the second attempt is linked to the first")
	require.False(t, again.Failed)

	figures := scrape(t, heir.metrics)
	require.Equal(t, 1, figures.sum("llmctl_recoveries_total", "outcome", "requeued"))
	require.Equal(t, 1, figures.sum("llmctl_workers_buried_total"))
	require.Equal(t, 1, figures.sum("llmctl_attempts_total", "status", "lost"))
}

func TestContentGoesIntoSpansWhenItIsAskedForAndFailuresSayWhy(t *testing.T) {
	t.Parallel()
	collector, llm := oteltest.New(t), llmtest.New(t)
	llm.On("", llmtest.Reply{Status: 429, ErrorMessage: "slow down"}, llmtest.Reply{Text: "forty-two"})
	s := newStack(t, collector, map[string]string{"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"})
	s.start("worker")
	f := s.flowchart("Retry", [3]any{"ask", "task", map[string]any{
		"prompt": "SAY {{ input.text }}", "system": "be short", "model_id": s.model(llm.OpenAIURL()), "retry": map[string]any{"max_attempts": 2, "backoff_seconds": 0.05},
	}})
	r := s.await(s.run(f).Run.ID, "succeeded")
	spans := oteltest.Of(collector.Await(t, "the run's trace", ended(r.Run.TraceID)), r.Run.TraceID)
	require.Empty(t, oteltest.Orphans(spans, ""), "%s", oteltest.Tree(spans))
	chats := oteltest.Named(spans, "chat scripted-model")
	require.Len(t, chats, 2)
	refused, answered := chats[0], chats[1]
	if !refused.Failed {
		refused, answered = answered, refused
	}
	require.True(t, refused.Failed)
	require.Equal(t, "rate_limit", refused.Attrs["error.type"])
	require.Contains(t, refused.Why, "429")
	require.JSONEq(t, `[{"role":"user","parts":[{"type":"text","content":"SAY hello"}]}]`, answered.Attrs["gen_ai.input.messages"].(string))
	require.JSONEq(t, `[{"role":"assistant","parts":[{"type":"text","content":"forty-two"}],"finish_reason":"stop"}]`, answered.Attrs["gen_ai.output.messages"].(string))
	var again runBody
	s.call(202, "POST", fmt.Sprintf("/api/flowchart-runs/%d/retry", r.Run.ID), nil, &again)
	s.await(again.Run.ID, "succeeded")
	require.NotEqual(t, r.Run.TraceID, again.Run.TraceID)
	first := one(t, spans, "invoke_workflow Retry")
	repeated := one(t, oteltest.Of(collector.Await(t, "the second run's trace", ended(again.Run.TraceID)), again.Run.TraceID), "invoke_workflow Retry")
	require.Len(t, repeated.Links, 1)
	require.Equal(t, []string{r.Run.TraceID, first.ID}, []string{repeated.Links[0].Trace, repeated.Links[0].Span}, "a run that repeats another one is linked to it")
	require.JSONEq(t, `[{"type":"text","content":"be short"}]`, answered.Attrs["gen_ai.system_instructions"].(string))
}

func TestACollectorThatHangsSlowsNothing(t *testing.T) {
	t.Parallel()
	collector, llm := oteltest.New(t), llmtest.New(t)
	collector.Hang()
	llm.On("", llmtest.Reply{Text: "done"})
	s := newStack(t, collector, map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"})
	worker := s.start("worker")
	f := s.flowchart("Any", [3]any{"ask", "task", map[string]any{"prompt": "x", "model_id": s.model(llm.OpenAIURL())}})
	collector.AwaitRequest(t, 1)
	began := time.Now()
	for range 5 {
		s.await(s.run(f).Run.ID, "succeeded")
	}
	require.Less(t, time.Since(began), 9*time.Second, "less than one request to the collector may take")
	require.Positive(t, scrape(t, worker.metrics).sum("llmctl_trace_spans_total", "result", "overflow"), "what does not fit is counted")
	require.Less(t, s.end(worker, syscall.SIGTERM), 10*time.Second, "the end waits a few seconds for the collector, not for ever")
	require.Equal(t, 0, worker.cmd.ProcessState.ExitCode())
}

func TestNothingIsTracedUntilACollectorIsNamed(t *testing.T) {
	t.Parallel()
	llm := llmtest.New(t)
	llm.On("", llmtest.Reply{Text: "done"})
	s := newStack(t, nil, nil)
	s.start("worker")
	f := s.flowchart("Any", [3]any{"ask", "task", map[string]any{"prompt": "x", "model_id": s.model(llm.OpenAIURL())}})
	r := s.await(s.run(f, "traceparent", given).Run.ID, "succeeded")
	require.Empty(t, r.Run.TraceID)
	require.NotContains(t, s.read("log"), "trace_id")
}
