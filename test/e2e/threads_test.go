package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// TestThreadsInABrowser sends, streams, reloads in the middle of an answer, loses the
// network, stops, edits and queues in Chromium; what the page shows is what is stored.
func TestThreadsInABrowser(t *testing.T) {
	t.Parallel()
	model := llmtest.New(t)
	numbers := make([]string, 400)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("%d 👋 ", i+1)
	}
	model.On("Say it briefly", llmtest.Reply{Text: "briefly: done"})
	model.On("Count", llmtest.Reply{Chunks: numbers, Every: 25 * time.Millisecond})
	s := newStudio(t)
	require.Equal(t, "ok\n", inBrowser(t, nil, "threads.mjs", s.url+"/web/setup?token="+s.setup, model.URL()))
}
