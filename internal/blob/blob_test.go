package blob_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func random(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	_, err := rand.Read(b)
	require.NoError(t, err)
	return b
}

func TestContentComesBackWholeAndInSlices(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	for name, content := range map[string][]byte{
		"empty": {}, "small": []byte("x"), "compressible": bytes.Repeat([]byte(`{"a":1}`), 500_000),
		"incompressible, several slices": random(t, 3<<20+17), "the most": random(t, blob.MaxBytes),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hash, err := blob.Put(t.Context(), db, content)
			require.NoError(t, err)
			again, err := blob.Put(t.Context(), db, content)
			require.NoError(t, err)
			require.Equal(t, hash, again)
			got, err := blob.Get(t.Context(), db, hash)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got))
			r, err := blob.Open(t.Context(), db, hash)
			require.NoError(t, err)
			require.EqualValues(t, len(content), r.Size)
			got, err = io.ReadAll(r)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got))
		})
	}
}

func TestWhatCompressesTakesLessRoom(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	hash, err := blob.Put(t.Context(), db, bytes.Repeat([]byte(`{"a":1}`), 500_000))
	require.NoError(t, err)
	var stored int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT octet_length(content) FROM blob WHERE sha256 = $1`, []byte(hash)).Scan(&stored))
	require.Less(t, stored, 100_000)
}

func TestTooMuchIsRefusedAndNothingIsNotFound(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	_, err := blob.Put(t.Context(), db, make([]byte, blob.MaxBytes+1))
	require.True(t, errs.Is(err, errs.TooLarge), "%v", err)
	_, err = blob.Get(t.Context(), db, blob.Sum([]byte("never stored")))
	require.True(t, errs.Is(err, errs.NotFound), "%v", err)
	_, err = blob.Open(t.Context(), db, blob.Sum([]byte("never stored")))
	require.True(t, errs.Is(err, errs.NotFound), "%v", err)
}

// refer makes a node run whose output is the blob.
func refer(ctx context.Context, t *testing.T, q postgres.Querier, hash blob.Hash) error {
	t.Helper()
	_, err := q.Exec(ctx, `INSERT INTO node_run (flowchart_node_id, kind, status, timeout_seconds, execution_index, output_blob, output_bytes, finished_at)
		VALUES ('n', 'script', 'succeeded', 1, 1, $1, 1, now())`, []byte(hash))
	return err
}

// put stores content that was last touched a day ago.
func put(t *testing.T, db *postgres.DB, text string) blob.Hash {
	t.Helper()
	hash, err := blob.Put(t.Context(), db, []byte(text))
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `UPDATE blob SET touched_at = now() - interval '1 day' WHERE sha256 = $1`, []byte(hash))
	require.NoError(t, err)
	return hash
}

func exists(t *testing.T, db *postgres.DB, hash blob.Hash) bool {
	t.Helper()
	var n int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM blob WHERE sha256 = $1`, []byte(hash)).Scan(&n))
	return n == 1
}

func TestOnlyOldContentThatNobodyRefersToIsCollected(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	orphan, used, touched := put(t, db, "orphan"), put(t, db, "used"), put(t, db, "touched")
	require.NoError(t, refer(t.Context(), t, db, used))
	_, err := blob.Put(t.Context(), db, []byte("touched"))
	require.NoError(t, err)
	young, err := blob.Put(t.Context(), db, []byte("young"))
	require.NoError(t, err)

	n, err := blob.Collect(t.Context(), db, time.Hour)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.False(t, exists(t, db, orphan))
	for _, kept := range []blob.Hash{used, touched, young} {
		require.True(t, exists(t, db, kept))
	}
}

func TestManyOrphansAreCollectedInBatches(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	_, err := db.Exec(t.Context(), `INSERT INTO blob (sha256, size, encoding, content, touched_at)
		SELECT sha256(i::text::bytea), 0, 'raw', '', now() - interval '1 day' FROM generate_series(1, 250) i`)
	require.NoError(t, err)
	n, err := blob.Collect(t.Context(), db, time.Hour)
	require.NoError(t, err)
	require.EqualValues(t, 250, n)
}

func TestATransactionThatIsSlowerThanTheAgeKeepsItsContent(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	hash := put(t, db, "slow")
	collect := func() (int64, error) { return blob.Collect(t.Context(), db, time.Hour) }
	err := db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		require.NoError(t, refer(ctx, t, tx, hash))
		// The reference is not visible to the clean-up, which must neither wait nor delete.
		n, err := collect()
		require.NoError(t, err)
		require.Zero(t, n)
		return nil
	})
	require.NoError(t, err)
	n, err := blob.Collect(t.Context(), db, time.Hour)
	require.NoError(t, err)
	require.Zero(t, n)
	require.True(t, exists(t, db, hash))
}

func TestAReferenceToCollectedContentIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	hash := put(t, db, "late")
	_, err := blob.Collect(t.Context(), db, time.Hour)
	require.NoError(t, err)
	require.True(t, postgres.IsForeignKey(refer(t.Context(), t, db, hash)))
}

// TestCollectingAndReferringNeverLoseContent lets both run against each other;
// whoever is told that the reference holds must find the content.
func TestCollectingAndReferringNeverLoseContent(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := blob.Collect(context.WithoutCancel(t.Context()), db, 0); err != nil {
				done <- err
				return
			}
		}
	}()
	refused := 0
	for i := range 200 {
		content := []byte{byte(i)}
		hash, err := blob.Put(t.Context(), db, content)
		require.NoError(t, err)
		switch err := refer(t.Context(), t, db, hash); {
		case postgres.IsForeignKey(err):
			refused++
		default:
			require.NoError(t, err)
			require.True(t, exists(t, db, hash), "content %d was collected although it is referred to", i)
		}
	}
	close(stop)
	require.NoError(t, <-done)
	t.Logf("%d of 200 references came too late and were refused", refused)
}
