package node

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/run"
)

func TestTextIsMergedAndCountedInCharacters(t *testing.T) {
	t.Parallel()
	a := newAttempt(run.Claim{NodeRun: run.NodeRun{ID: 7}, Attempt: 2})
	at := time.Now()
	a.stage("llm_query", run.Running, at)
	a.add("delta", "", "grüß", at)
	a.add("delta", "", " dich", at)
	a.add("log", "llm_query", "line\n", at)
	first, ok, err := a.Take()
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, first.chunks, 2)
	require.Equal(t, "grüß dich", first.chunks[0].text)
	require.Contains(t, string(first.stages), `"log_lines":1`)
	a.Written()

	a.add("delta", "", "!", at)
	second, ok, err := a.takeLast()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, int64(9), second.chunks[0].offset)
	// A flush that failed is put back in front.
	a.add("delta", "", "?", at)
	a.GiveBack(second)
	third, _, err := a.Take()
	require.NoError(t, err)
	require.Equal(t, []string{"!", "?"}, []string{third.chunks[0].text, third.chunks[1].text})
	a.Written()

	a.close()
	a.add("delta", "", "late", at)
	_, ok, err = a.Take()
	require.NoError(t, err)
	require.False(t, ok, "a closed attempt takes no text")
}

func TestOnlyTheLabelOfLLMQueryDependsOnTheMode(t *testing.T) {
	t.Parallel()
	label := func(key, mode string) string {
		if mode == "" {
			return Label(key, "rag", nil)
		}
		return Label(key, "rag", &mode)
	}
	require.Equal(t, "LLM Query", label("llm_query", ""))
	require.Equal(t, "LLM Query", label("llm_query", "query"))
	require.Equal(t, "LLM Query", label("llm_query", "unknown"))
	require.Equal(t, "RAG Indexing", label("llm_query", "indexing"))
	require.Equal(t, "RAG Delta Indexing", label("llm_query", "delta_indexing"))
	require.Equal(t, "Post Run", label("post_run", "indexing"))
	indexing := run.ModeIndexing
	require.Equal(t, "RAG Indexing", Label("llm_query", "rag_index", &indexing))
	require.Equal(t, "LLM Query", Label("llm_query", "task", &indexing), "only nodes of retrieval")
}

func TestStagesThatWereNotReachedAreSkippedAtTheEnd(t *testing.T) {
	t.Parallel()
	at := time.Now()
	raw, err := json.Marshal(closeStages([]Stage{{Key: "init", Status: run.Running, StartedAt: &at}}, run.Failed, at))
	require.NoError(t, err)
	views, err := ViewStages(raw, "task", nil, true)
	require.NoError(t, err)
	require.Len(t, views, 6)
	require.Equal(t, "skipped", views[0].Status)
	require.Equal(t, "failed", views[2].Status)
	require.NotNil(t, views[2].FinishedAt)
}
