package app

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

func TestOnlyNodesOfRetrievalHaveAMode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, config, want string }{
		{"rag", `{"mode":"query"}`, "query"},
		{"rag", `{"mode":"fresh_index"}`, "indexing"},
		{"rag", `{"mode":"delta_index"}`, "delta_indexing"},
		{"rag", `{"mode":"fresh"}`, ""},
		{"rag", `{}`, ""},
		{"rag", `{"mode":1}`, ""},
		{"rag_index", `{"mode":"fresh"}`, "indexing"},
		{"rag_index", `{"mode":"delta"}`, "delta_indexing"},
		{"rag_index", `{"mode":"query"}`, ""},
		{"task", `{"mode":"query"}`, ""},
		{"rag query", `{}`, ""},
	} {
		require.Equal(t, c.want, modeFor(c.kind, json.RawMessage(c.config)), "%s %s", c.kind, c.config)
	}
}

func TestAKindAnswersForItsOwnNodes(t *testing.T) {
	t.Parallel()
	s := &studio{hooks: newNodeHooks()}
	s.hooks.queue[kindRAGIndex] = func(_ context.Context, _ postgres.Querier, config json.RawMessage) (string, error) {
		return "q " + string(config), nil
	}
	s.hooks.waits[kindRAGIndex] = func(context.Context, postgres.Querier, *run.NodeRun) (bool, error) { return true, nil }
	ended := false
	s.hooks.ended[kindRAGIndex] = func(context.Context, *postgres.Tx, *run.NodeRun) error { ended = true; return nil }
	queue, err := s.queueFor(t.Context(), nil, kindRAGIndex, json.RawMessage(`{}`))
	require.NoError(t, err)
	require.Equal(t, "q {}", queue)
	queue, err = s.queueFor(t.Context(), nil, "task", nil)
	require.NoError(t, err)
	require.Empty(t, queue, "the default")
	waits, err := s.waits(t.Context(), nil, &run.NodeRun{Kind: kindRAGIndex})
	require.NoError(t, err)
	require.True(t, waits)
	require.NoError(t, s.ended(t.Context(), nil, &run.NodeRun{Kind: kindRAGIndex}))
	require.True(t, ended)
}

func TestNodesThatIndexHaveATimeOutOfTheirOwn(t *testing.T) {
	t.Parallel()
	for want, nodes := range map[time.Duration][][2]string{
		24 * time.Hour: {{"rag", `{"mode":"fresh_index"}`}, {"rag", `{"mode":"delta_index"}`}, {"rag_index", `{"mode":"delta"}`}},
		0:              {{"rag", `{"mode":"query"}`}, {"rag", `{}`}, {"task", `{"mode":"fresh_index"}`}},
	} {
		for _, n := range nodes {
			require.Equal(t, want, timeoutFor(n[0], json.RawMessage(n[1])), n)
		}
	}
}
