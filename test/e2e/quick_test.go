package e2e

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

type quickBody struct {
	Task struct {
		ID      int64           `json:"id"`
		Status  string          `json:"status"`
		Attempt int             `json:"attempt"`
		Output  json.RawMessage `json:"output_state"`
		Error   json.RawMessage `json:"error"`
		RetryOf int64           `json:"retry_of"`
	} `json:"task"`
}

// quick starts a quick node.
func (s *studio) quick(model int64, prompt string) int64 {
	s.t.Helper()
	var started quickBody
	require.Equal(s.t, 202, s.call("POST", "/api/nodes", map[string]any{"prompt": prompt, "model_id": model}, &started))
	return started.Task.ID
}

// awaitQuick polls a quick node until it has ended.
func (s *studio) awaitQuick(id int64) quickBody {
	s.t.Helper()
	var n quickBody
	require.Eventually(s.t, func() bool {
		require.Equal(s.t, 200, s.call("GET", fmt.Sprintf("/api/nodes/%d", id), nil, &n))
		return final(n.Task.Status)
	}, patience, 20*time.Millisecond)
	return n
}

// untilTask reads until a task has ended.
func (f *follower) untilTask(id int64) {
	f.t.Helper()
	for {
		if l := f.next(); l.Event == "node:task:completed" {
			var e struct {
				Entity string `json:"entity_id"`
			}
			require.NoError(f.t, json.Unmarshal(l.Payload, &e))
			if e.Entity == fmt.Sprint(id) {
				return
			}
		}
	}
}

func TestAQuickNodeSurvivesTheDeathOfItsWorker(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	llm := llmtest.New(t)
	llm.On("QUICK", llmtest.Reply{Text: "Quick and well.", Gate: gate})
	s := newStudio(t)
	s.signIn()
	id := s.quick(s.model(llm.OpenAIURL()), "QUICK {{ not.a.template }}")
	f := s.follow(s.key, "websocket", fmt.Sprintf("task:%d", id))
	f.acknowledged()
	require.Contains(t, llm.Next(t).Prompt, "QUICK {{ not.a.template }}")
	s.end(syscall.SIGKILL)
	close(gate)
	s.start()
	f.untilTask(id)
	n := s.awaitQuick(id)
	require.Equal(t, "succeeded", n.Task.Status, "%s", n.Task.Error)
	require.Contains(t, string(n.Task.Output), "Quick and well.")
	require.Equal(t, 2, n.Task.Attempt)
	require.Equal(t, 2, llm.Count("QUICK"))
	logged := s.events(fmt.Sprintf("task:%d", id))
	require.JSONEq(t, string(logged[len(logged)-1]), string(f.seen[fmt.Sprintf("task:%d", id)][len(f.seen[fmt.Sprintf("task:%d", id)])-1]))
	require.Equal(t, "Quick and well.", streamed(t, s.events(fmt.Sprintf("node_log:%d", id))))
}

func TestACancelOfAQuickNodeReachesItsProviderAndARetryIsAnotherNode(t *testing.T) {
	t.Parallel()
	llm := llmtest.New(t)
	llm.On("QUICK", llmtest.Reply{Text: "never ending", Hang: true, HangAt: 1}, llmtest.Reply{Text: "Well."})
	s := newStudio(t)
	s.signIn()
	id := s.quick(s.model(llm.OpenAIURL()), "QUICK")
	req := llm.Next(t)
	require.Equal(t, 202, s.call("POST", fmt.Sprintf("/api/nodes/%d/cancel", id), nil, nil))
	select {
	case <-req.ClientGone():
	case <-time.After(patience):
		t.Fatal("the provider's socket stays open")
	}
	require.Equal(t, "cancelled", s.awaitQuick(id).Task.Status)
	var again quickBody
	require.Equal(t, 202, s.call("POST", fmt.Sprintf("/api/nodes/%d/retry", id), nil, &again))
	require.Equal(t, id, again.Task.RetryOf)
	require.Contains(t, string(s.awaitQuick(again.Task.ID).Task.Output), "Well.")
}
