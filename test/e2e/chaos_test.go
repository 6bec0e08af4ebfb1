package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// chaosRuns is how many runs the chaos test makes; LLMCTL_TEST_CHAOS_RUNS=200
// makes it as long as the promise says.
func chaosRuns(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("LLMCTL_TEST_CHAOS_RUNS"))
	if err != nil {
		return 40
	}
	return n
}

// Runs are started while the whole program, database included, is killed again
// and again. Every run that was accepted ends well, no finished node is asked of
// the model again, and every stream is whole.
func TestRunsSurviveSIGKILL(t *testing.T) {
	t.Parallel()
	llm := llmtest.New(t)
	s := newStudio(t)
	s.signIn()
	id := s.flowchart(sixNodes(s.model(llm.OpenAIURL())))
	want := chaosRuns(t)
	var accepted []int64
	for len(accepted) < want {
		// A burst, then the kill at a random moment of its work.
		for range min(1+rand.IntN(10), want-len(accepted)) { //nolint:gosec // chaos need not be secret
			body := map[string]any{"input": map[string]any{"text": fmt.Sprint("text ", len(accepted))}}
			status, raw, err := s.try("POST", fmt.Sprintf("/api/flowcharts/%d/runs", id), body)
			require.NoError(t, err)
			require.Equal(t, 202, status, "%s", raw)
			var r runBody
			require.NoError(t, json.Unmarshal(raw, &r))
			accepted = append(accepted, r.Run.ID)
		}
		<-time.After(time.Duration(rand.IntN(400)) * time.Millisecond) //nolint:gosec // as above
		s.end(syscall.SIGKILL)
		s.start()
	}
	for _, runID := range accepted {
		r := s.await(runID)
		require.Equal(t, "succeeded", r.Run.Status, "run %d: %s", runID, r.Run.Error)
		for _, n := range r.Nodes {
			kind := map[string]string{"summary": "SUMMARY", "outline": "OUTLINE", "report": "REPORT"}[n.Node]
			if kind == "" {
				continue
			}
			calls := llm.Count(fmt.Sprintf("%s of run %d:", kind, runID))
			require.LessOrEqual(t, calls, n.Attempt, "run %d node %s", runID, n.Node)
		}
		s.events(fmt.Sprintf("flowchart_run:%d", runID))
	}
}
