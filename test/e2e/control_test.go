package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

type controlBody struct {
	Run struct {
		ID           int64  `json:"id"`
		Status       string `json:"status"`
		Cancellation struct {
			Receipts []struct {
				Node     string `json:"flowchart_node_id"`
				Executor string `json:"executor"`
				Worker   *struct {
					Hostname string `json:"hostname"`
				} `json:"worker"`
				How *string `json:"how"`
			} `json:"receipts"`
		} `json:"cancellation"`
	} `json:"flowchart_run"`
	Nodes []struct {
		ID         int64  `json:"id"`
		Node       string `json:"flowchart_node_id"`
		Status     string `json:"status"`
		ReusedFrom *int64 `json:"reused_from"`
	} `json:"node_runs"`
}

func (s *studio) order(path string, body any, want int) controlBody {
	s.t.Helper()
	var out controlBody
	require.Equal(s.t, want, s.call("POST", path, body, &out), "%s", path)
	return out
}

func (s *studio) control(id int64) controlBody {
	s.t.Helper()
	var out controlBody
	require.Equal(s.t, 200, s.call("GET", fmt.Sprintf("/api/flowchart-runs/%d", id), nil, &out))
	return out
}

func (s *studio) awaitNode(runID int64, node, status string) int64 {
	s.t.Helper()
	var id int64
	require.Eventually(s.t, func() bool {
		for _, n := range s.control(runID).Nodes {
			if n.Node == node && n.Status == status {
				id = n.ID
				return true
			}
		}
		return false
	}, patience, 20*time.Millisecond, "%s does not become %s", node, status)
	return id
}

func (s *studio) begin(flowchart int64) int64 {
	s.t.Helper()
	return s.order(fmt.Sprintf("/api/flowcharts/%d/runs", flowchart), map[string]any{"input": map[string]any{"text": "x"}}, 202).Run.ID
}

// processes counts the live ones with a text in their command line, in whatever
// namespace they are.
func processes(t *testing.T, text string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	n := 0
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && bytes.Contains(line, []byte(text)) {
			n++
		}
	}
	return n
}

const (
	ends = `{"id":"start","kind":"start","title":"Start","position":{"x":0,"y":0},"config":{}},{"id":"end","kind":"end","title":"End","position":{"x":800,"y":0},"config":{}}`
	// The script's sleep is a grandchild that its parent leaves behind.
	holding = `{"nodes":[%s,
		{"id":"ask","kind":"task","title":"Ask","position":{"x":200,"y":0},"config":{"prompt":"HANG","model_id":%d}},
		{"id":"sleeper","kind":"script","title":"Sleeper","position":{"x":200,"y":100},"config":{"shell":"sh","script":"(sleep %s &) ; sleep 600"}}],
		"edges":[{"id":"e1","source":"start","target":"ask","mode":"solid"},{"id":"e2","source":"start","target":"sleeper","mode":"solid"},
		{"id":"e3","source":"ask","target":"end","mode":"solid"},{"id":"e4","source":"sleeper","target":"end","mode":"solid"}]}`
	single = `{"nodes":[%s,{"id":"one","kind":"script","title":"One","position":{"x":200,"y":0},"config":{"script":"echo one","shell":"sh"}}],
		"edges":[{"id":"e1","source":"start","target":"one","mode":"solid"},{"id":"e2","source":"one","target":"end","mode":"solid"}]}`
	inLine = `{"nodes":[%s,
		{"id":"first","kind":"task","title":"First","position":{"x":200,"y":0},"config":{"prompt":"FIRST of run {{ run.id }}","model_id":%[2]d}},
		{"id":"second","kind":"task","title":"Second","position":{"x":400,"y":0},"config":{"prompt":"SECOND after {{ nodes.first.text }}","model_id":%[2]d}}],
		"edges":[{"id":"e1","source":"start","target":"first","mode":"solid"},{"id":"e2","source":"first","target":"second","mode":"solid"},
		{"id":"e3","source":"second","target":"end","mode":"solid"}]}`
)

func TestCancelReachesSocketsProcessesAndQueuedJobs(t *testing.T) {
	t.Parallel()
	llm := llmtest.New(t)
	llm.On("HANG", llmtest.Reply{Chunks: []string{"Once ", "upon "}, Hang: true, HangAt: 1})
	s := newStudioWith(t, []string{"CELERY_WORKER_CONCURRENCY=2"})
	s.signIn()
	marker := fmt.Sprintf("4321.%d", time.Now().UnixNano())
	runID := s.begin(s.flowchart(fmt.Sprintf(holding, ends, s.model(llm.OpenAIURL()), marker)))
	request := llm.Next(t)
	require.Eventually(t, func() bool { return processes(t, marker) > 0 }, patience, 20*time.Millisecond)
	// Both slots are held: the job of this run waits in the queue.
	waiting := s.begin(s.flowchart(fmt.Sprintf(single, ends)))
	one := s.awaitNode(waiting, "one", "queued")
	never := s.order(fmt.Sprintf("/api/flowchart-runs/%d/cancel", waiting), nil, 202)
	require.Equal(t, "cancelled", never.Run.Status)
	require.Equal(t, "never began", *never.Run.Cancellation.Receipts[0].How)

	asked := time.Now()
	answer := s.order(fmt.Sprintf("/api/flowchart-runs/%d/cancel", runID), nil, 202)
	require.Len(t, answer.Run.Cancellation.Receipts, 2)
	for _, r := range answer.Run.Cancellation.Receipts {
		require.NotNil(t, r.Worker, "the answer says who was asked")
		require.Nil(t, r.How, "and that nobody has confirmed yet")
	}
	select {
	case <-request.ClientGone():
	case <-time.After(patience):
		t.Fatal("the provider's socket stays open")
	}
	t.Logf("the provider saw its socket closed after %v", time.Since(asked))
	require.Less(t, time.Since(asked), time.Second)
	require.Equal(t, "cancelled", s.await(runID).Run.Status)
	t.Logf("everything had confirmed after %v", time.Since(asked))
	require.Zero(t, processes(t, marker), "the grandchild is gone when the run is cancelled")
	executors := map[string]string{}
	for _, r := range s.control(runID).Run.Cancellation.Receipts {
		require.Equal(t, "stopped", *r.How)
		executors[r.Node] = r.Executor
	}
	require.Equal(t, map[string]string{"ask": "inline", "sleeper": "process"}, executors)

	// The freed slots take what comes next, and the cancelled job stays cancelled.
	require.Equal(t, "succeeded", s.await(s.begin(s.flowchart(fmt.Sprintf(single, ends)))).Run.Status)
	var node struct {
		Task struct {
			Status   string `json:"status"`
			Attempts []any  `json:"attempts"`
		} `json:"task"`
	}
	require.Equal(t, 200, s.call("GET", fmt.Sprintf("/api/nodes/%d", one), nil, &node))
	require.Equal(t, "cancelled", node.Task.Status)
	require.Empty(t, node.Task.Attempts)
}

func TestPauseSurvivesSIGKILLAndARetryAsksOnlyForWhatIsNew(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	llm := llmtest.New(t)
	llm.On("FIRST", llmtest.Reply{Text: "The first answer.", Gate: gate, GateAt: 1})
	llm.On("SECOND", llmtest.Reply{Text: "The second answer."})
	s := newStudio(t)
	s.signIn()
	runID := s.begin(s.flowchart(fmt.Sprintf(inLine, ends, s.model(llm.OpenAIURL()))))
	llm.Next(t)
	path := fmt.Sprintf("/api/flowchart-runs/%d", runID)
	require.Equal(t, "pausing", s.order(path+"/pause", nil, 202).Run.Status)
	close(gate)
	s.awaitNode(runID, "second", "pending")
	require.Equal(t, "paused", s.control(runID).Run.Status)
	s.end(syscall.SIGKILL)
	s.start()
	require.Equal(t, "paused", s.order(path+"/pause", nil, 202).Run.Status)
	require.Equal(t, "running", s.order(path+"/resume", nil, 202).Run.Status)
	require.Equal(t, "succeeded", s.await(runID).Run.Status)
	require.Equal(t, 1, llm.Count("SECOND"))

	second := s.awaitNode(runID, "second", "succeeded")
	again := s.order(path+"/retry", map[string]any{"from_node_run_id": second}, 202).Run.ID
	require.Equal(t, "succeeded", s.await(again).Run.Status)
	require.Equal(t, 1, llm.Count("FIRST"), "its answer is reused")
	require.Equal(t, 2, llm.Count("SECOND after The first answer."), "and read by what is new")
	for _, n := range s.control(again).Nodes {
		require.Equal(t, n.Node == "start" || n.Node == "first", n.ReusedFrom != nil, n.Node)
	}
	s.events(fmt.Sprintf("flowchart_run:%d", again))
}
