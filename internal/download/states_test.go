package download

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestTheDatabaseKnowsTheSameStates(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	for table, states := range map[string][]string{"download_job": keys(JobStates()), "download_attempt": AttemptStates()} {
		var def string
		require.NoError(t, db.QueryRow(t.Context(), `SELECT string_agg(pg_get_constraintdef(oid), ' ') FROM pg_constraint
			WHERE conrelid = $1::regclass AND contype = 'c' AND conname LIKE '%status_check'`, table).Scan(&def))
		for _, s := range states {
			require.Contains(t, def, "'"+s+"'", table)
		}
	}
}

func keys(t Transitions) []string {
	var out []string
	for s := range t {
		out = append(out, s)
	}
	return out
}

func TestAFinalStateStaysEvenInTheDatabase(t *testing.T) {
	t.Parallel()
	b := bundle(t, nil, tiny())
	j, _ := b.create(t, Request{RepoID: "o/m"})
	b.order(t, b.s.CancelTx, j.ID)
	_, err := b.db.Exec(t.Context(), `UPDATE download_job SET status = 'queued', finished_at = NULL WHERE id = $1`, j.ID)
	require.True(t, postgres.IsFinalState(err), "%v", err)
}

func TestWhatBecomesOfAJobWhenItsAttemptEnds(t *testing.T) {
	t.Parallel()
	temporary, permanent := &JobFailure{Code: "unavailable", Retryable: true}, &JobFailure{Code: "gated"}
	now := bundleTime()
	for name, c := range map[string]struct {
		job     Job
		attempt Attempt
		outcome outcome
		status  Status
		lost    int32
		fails   int32
	}{
		"succeeded":                      {Job{Status: Verifying}, Attempt{}, outcome{status: "succeeded"}, Succeeded, 0, 0},
		"cancel came too late":           {Job{Status: Cancelling}, Attempt{}, outcome{status: "succeeded"}, Succeeded, 0, 0},
		"cancelled":                      {Job{Status: Cancelling}, Attempt{}, outcome{status: "cancelled"}, Cancelled, 0, 0},
		"died while cancelling":          {Job{Status: Cancelling}, Attempt{}, outcome{status: "lost"}, Cancelled, 0, 0},
		"cannot be had":                  {Job{Status: Downloading}, Attempt{}, outcome{status: "failed", failure: permanent}, Failed, 0, 0},
		"may pass":                       {Job{Status: Downloading}, Attempt{}, outcome{status: "failed", failure: temporary}, Queued, 0, 1},
		"failed too often":               {Job{Status: Downloading, Failures: 5}, Attempt{}, outcome{status: "failed", failure: temporary}, Failed, 0, 6},
		"failed often but progressed":    {Job{Status: Downloading, Failures: 5}, Attempt{}, outcome{status: "failed", failure: temporary, fetched: 1}, Queued, 0, 1},
		"fails while it is to pause":     {Job{Status: Downloading, PauseRequestedAt: now}, Attempt{}, outcome{status: "failed", failure: temporary}, Paused, 0, 1},
		"lost":                           {Job{Status: Downloading, Lost: 2}, Attempt{}, outcome{status: "lost"}, Queued, 3, 0},
		"lost too often":                 {Job{Status: Downloading, Lost: 3}, Attempt{}, outcome{status: "lost"}, Failed, 4, 0},
		"lost often but progressed":      {Job{Status: Downloading, Lost: 3}, Attempt{BytesFetched: 1}, outcome{status: "lost"}, Queued, 1, 0},
		"lost while it is to pause":      {Job{Status: Downloading, PauseRequestedAt: now}, Attempt{}, outcome{status: "lost"}, Paused, 1, 0},
		"paused":                         {Job{Status: Downloading, PauseRequestedAt: now}, Attempt{}, outcome{status: "paused"}, Paused, 0, 0},
		"handed over":                    {Job{Status: Downloading, Lost: 2, Failures: 1}, Attempt{}, outcome{status: "handed_over"}, Queued, 0, 0},
		"handed over while it is paused": {Job{Status: Downloading, PauseRequestedAt: now}, Attempt{}, outcome{status: "handed_over"}, Paused, 0, 0},
	} {
		to := decide(&c.job, &c.attempt, c.outcome)
		require.Equal(t, c.status, to.status, name)
		require.Equal(t, c.lost, to.lost, name)
		require.Equal(t, c.fails, to.failures, name)
		require.True(t, JobStates().Allows(c.job.Status, to.status), name)
	}
}

func TestAnEventIsSmallHoweverManyFilesThereAre(t *testing.T) {
	t.Parallel()
	var views []JobFile
	for i := range maxChanged {
		views = append(views, JobFile{ID: int64(1e12) + int64(i), Status: "downloading", BytesDone: 1 << 40, Ranges: [][2]int64{{0, 1 << 39}, {1 << 40, 1 << 41}}})
	}
	raw, err := json.Marshal(payload{Files: views})
	require.NoError(t, err)
	require.Less(t, len(raw), 32<<10)
}
