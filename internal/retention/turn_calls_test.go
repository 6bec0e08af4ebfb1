package retention_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/retention"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestCallsOfTurnsThatAreGoneGo(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	for _, sql := range []string{
		`WITH h AS (INSERT INTO thread (title, title_source, response_complexity) VALUES ('t', 'user', 'low') RETURNING id),
			g AS (INSERT INTO thread_branch (thread_id) SELECT id FROM h RETURNING id, thread_id),
			m AS (INSERT INTO message (thread_id, branch_id, depth, role, status) SELECT thread_id, id, 1, 'assistant', 'pending' FROM g RETURNING id, thread_id)
			INSERT INTO turn (thread_id, kind, user_message_id, assistant_message_id, model_name, response_complexity, deadline_seconds)
			SELECT thread_id, 'message', id, id, 'm', 'low', 60 FROM m`,
		`INSERT INTO tool_cycle (owner_kind, owner_id, cycle, attempt) SELECT 'turn', id, 1, 1 FROM turn`,
		`INSERT INTO tool_cycle (owner_kind, owner_id, cycle, attempt) VALUES ('turn', 4711, 1, 1), ('turn', 4711, 2, 1), ('node_run', 4711, 1, 1)`,
		`INSERT INTO tool_call (owner_kind, owner_id, cycle, position, attempt, call_id, name, arguments, status) VALUES ('turn', 4711, 2, 0, 1, 'a', 'x', '{}', 'waiting')`,
	} {
		_, err := db.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
	rep, err := retention.New(db, nil).Clean(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, rep.Calls)
	var left, calls int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*), (SELECT count(*) FROM tool_call) FROM tool_cycle`).Scan(&left, &calls))
	require.Equal(t, 2, left, "those of the turn that is there, and those of nodes")
	require.Zero(t, calls)
}
