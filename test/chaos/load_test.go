package chaos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// size is how much work there is and how long it is disturbed.
type size struct {
	runs      int
	lasts     time.Duration
	harmEvery time.Duration
	restarts  int // of the database
	cuts      int // of its connections
}

func chaosSize() size {
	if os.Getenv("LLMCTL_TEST_CHAOS") == "full" {
		return size{runs: 500, lasts: 5 * time.Minute, harmEvery: 2 * time.Second, restarts: 2, cuts: 10}
	}
	return size{runs: 40, lasts: 24 * time.Second, harmEvery: 2 * time.Second, restarts: 2, cuts: 3}
}

// The graph asks the model twice and runs a script beside the first question, so that
// a harm meets streams, child processes, joins and chained claims.
const graph = `{"nodes":[
	{"id":"start","kind":"start","title":"Start","position":{"x":0,"y":0},"config":{}},
	{"id":"ask","kind":"task","title":"Ask","position":{"x":200,"y":0},"config":{"prompt":"ASK of run {{ run.id }};","model_id":%[1]d,"retry":{"max_attempts":5,"backoff_seconds":0.2}}},
	{"id":"count","kind":"script","title":"Count","position":{"x":200,"y":200},"config":{"script":"sleep 0.3; echo counted","shell":"sh","retry":{"max_attempts":5,"backoff_seconds":0.2}}},
	{"id":"sum","kind":"task","title":"Sum","position":{"x":400,"y":100},"config":{"prompt":"SUM of run {{ run.id }}; {{ nodes.ask.text }} {{ nodes.count.stdout }}","model_id":%[1]d,"retry":{"max_attempts":5,"backoff_seconds":0.2}}},
	{"id":"end","kind":"end","title":"End","position":{"x":600,"y":100},"config":{}}],
	"edges":[
	{"id":"e1","source":"start","target":"ask","mode":"solid"},{"id":"e2","source":"start","target":"count","mode":"solid"},
	{"id":"e3","source":"ask","target":"sum","mode":"solid"},{"id":"e4","source":"count","target":"sum","mode":"solid"},
	{"id":"e5","source":"sum","target":"end","mode":"solid"}]}`

func newModel(t *testing.T) *llmtest.Server {
	t.Helper()
	llm := llmtest.New(t)
	llm.On("ASK", llmtest.Reply{Text: "one two three four five six seven eight", Every: 80 * time.Millisecond})
	llm.On("SUM", llmtest.Reply{Text: "all in all nine", Every: 50 * time.Millisecond})
	return llm
}

// flowchart stores the graph and gives its number.
func (s *studio) flowchart(llm *llmtest.Server) int64 {
	s.t.Helper()
	var provider, model, chart struct {
		ID int64 `json:"id"`
	}
	s.call(http.StatusCreated, "/api/providers", map[string]any{"name": "Scripted", "kind": "openai", "base_url": llm.OpenAIURL(), "api_key": "k"}, &provider)
	s.call(http.StatusCreated, "/api/models", map[string]any{"name": "Scripted", "provider_id": provider.ID, "model": "scripted-model"}, &model)
	s.call(http.StatusCreated, "/api/flowcharts", map[string]any{"name": "chaos"}, &chart)
	status, raw := s.try(http.MethodPut, fmt.Sprintf("/api/flowcharts/%d/graph", chart.ID), json.RawMessage(fmt.Sprintf(graph, model.ID)), "")
	require.Equal(s.t, http.StatusOK, status, "%s", raw)
	require.Contains(s.t, string(raw), `"valid":true`)
	return chart.ID
}

// submit starts run number i. It asks again, with the same key, until there is an
// answer: that is what a client does whose connection broke.
func (s *studio) submit(chart int64, i int) int64 {
	s.t.Helper()
	until := time.Now().Add(patience)
	for {
		status, raw := s.try(http.MethodPost, fmt.Sprintf("/api/flowcharts/%d/runs", chart), map[string]any{}, fmt.Sprintf("chaos-%d", i))
		if status == http.StatusAccepted {
			var started struct {
				Run struct {
					ID int64 `json:"id"`
				} `json:"flowchart_run"`
			}
			require.NoError(s.t, json.Unmarshal(raw, &started))
			return started.Run.ID
		}
		// Nobody there, or a database that is: both are told so, and nothing else.
		require.True(s.t, status == 0 || status >= http.StatusInternalServerError || status == http.StatusConflict, "%d %s", status, raw)
		require.True(s.t, time.Now().Before(until), "no answer: %d %s", status, raw)
		<-time.After(100 * time.Millisecond)
	}
}

// load submits runs evenly over the time and gives those that were accepted.
func (s *studio) load(chart int64, z size) []int64 {
	s.t.Helper()
	ticker := time.NewTicker(z.lasts / time.Duration(z.runs))
	defer ticker.Stop()
	accepted := make([]int64, 0, z.runs)
	for i := range z.runs {
		<-ticker.C
		accepted = append(accepted, s.submit(chart, i))
	}
	return accepted
}
