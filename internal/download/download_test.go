package download

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/hubtest"
)

func bundleTime() *time.Time {
	now := time.Now()
	return &now
}

func tiny() *hubtest.Repo {
	return &hubtest.Repo{ID: "o/m", Files: []hubtest.File{
		{Path: "config.json", Content: []byte(`{"a":1}`)},
		{Path: "README.md", Content: []byte("# m")},
		{Path: "sub/model.safetensors", LFS: true, Size: 9 << 20, Seed: 3},
	}}
}

func TestADownloadIsPlannedMadeWorkedAndPlaced(t *testing.T) {
	t.Parallel()
	repo := tiny()
	b := bundle(t, nil, repo)
	plan, err := b.s.Plan(t.Context(), Request{RepoID: "o/m", Exclude: []string{"*.md"}})
	require.NoError(t, err)
	require.Len(t, plan.Files, 3)
	require.Equal(t, 2, plan.FilesTotal)
	require.Equal(t, int64(9<<20+7), plan.BytesToFetch)
	require.True(t, plan.Fits)
	require.Positive(t, plan.Disk.Free)

	j, created := b.create(t, Request{RepoID: "o/m"})
	require.True(t, created)
	require.Equal(t, []Pointer{{ID: j.ID}}, b.queue.take())
	b.worker(t).Work(t.Context(), j.ID)
	d := b.get(t, j.ID)
	require.Equal(t, Succeeded, d.Job.Status, string(d.Job.Error))
	require.Equal(t, d.Job.BytesTotal, d.Job.BytesDone)
	require.Equal(t, int32(3), d.Job.FilesDone)
	for _, f := range d.Files {
		require.Equal(t, "succeeded", f.Status, f.Path)
		require.Equal(t, f.Size, f.BytesDone, f.Path)
	}
	b.same(t, "o--m", repo)
	raw, err := os.ReadFile(b.target("o--m", "model.json"))
	require.NoError(t, err)
	require.Contains(t, string(raw), `"name": "o/m"`)
	requireStream(t, b, j.ID)

	_, _, err = b.tryCreate(t, Request{RepoID: "o/m"})
	require.True(t, errs.HasReason(err, "download.present"), "%v", err)
}

// requireStream checks that a job's stream has no gap and ends with its end.
func requireStream(t *testing.T, b *bench, id int64) []event.Envelope {
	t.Helper()
	events, err := event.ReadStream(t.Context(), b.db, Stream(id), 0, 10_000)
	require.NoError(t, err)
	out := make([]event.Envelope, len(events))
	for i, e := range events {
		require.Equal(t, int64(i+1), e.Envelope.Sequence)
		require.Equal(t, []string{Stream(id), "studio"}, e.Envelope.RoomKeys)
		out[i] = e.Envelope
	}
	require.Equal(t, "download:job:completed", out[len(out)-1].EventType)
	return out
}

func TestTheSameDownloadIsMadeOnceWhoeverAsks(t *testing.T) {
	t.Parallel()
	b := bundle(t, nil, tiny())
	var wg sync.WaitGroup
	ids, made := make([]int64, 8), make([]bool, 8)
	for i := range ids {
		wg.Go(func() {
			p, err := b.s.Prepare(t.Context(), Request{RepoID: "o/m"})
			if err != nil {
				t.Error(err)
				return
			}
			_ = b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
				j, created, err := b.s.CreateTx(ctx, tx, p, Origin{})
				ids[i], made[i] = j.ID, created
				return err
			})
		})
	}
	wg.Wait()
	n := 0
	for i := range ids {
		require.Equal(t, ids[0], ids[i])
		if made[i] {
			n++
		}
	}
	require.Equal(t, 1, n)
	same, created := b.create(t, Request{RepoID: "O/M"})
	require.False(t, created)
	require.Equal(t, ids[0], same.ID)
	_, _, err := b.tryCreate(t, Request{RepoID: "o/m", Include: []string{"*.json"}})
	require.True(t, errs.HasReason(err, "download.target_busy"), "%v", err)
	require.ErrorContains(t, err, "other patterns")
}

func TestWhatDoesNotFitIsRefusedWithTheNumbers(t *testing.T) {
	t.Parallel()
	b := bundle(t, func(o *Options) { o.Reserve = 1 << 60 }, tiny())
	_, _, err := b.tryCreate(t, Request{RepoID: "o/m"})
	require.True(t, errs.HasReason(err, "download.no_space"), "%v", err)
	require.ErrorContains(t, err, "9.0 MiB are to be downloaded")

	b = bundle(t, nil, tiny())
	j, _ := b.create(t, Request{RepoID: "o/m"})
	b.s.o.Reserve = 1 << 60 // the disk has filled since
	b.worker(t).Work(t.Context(), j.ID)
	d := b.get(t, j.ID)
	require.Equal(t, Failed, d.Job.Status)
	require.Contains(t, string(d.Job.Error), "download.no_space")
	require.Zero(t, b.hub.Sent())
}

func TestRefusalsOfTheHubReachWhoeverAsks(t *testing.T) {
	t.Parallel()
	b := bundle(t, nil, tiny(), &hubtest.Repo{ID: "o/evil", Files: []hubtest.File{{Path: "../x", Content: []byte("x")}}}, &hubtest.Repo{ID: "o/empty"})
	for repo, reason := range map[string]string{
		"o/none": "download.repo_not_found", "o/evil": "download.unsafe_path", "o/empty": "download.no_files",
	} {
		_, _, err := b.tryCreate(t, Request{RepoID: repo})
		require.True(t, errs.HasReason(err, reason) && errs.Is(err, errs.Invalid), "%s: %v", repo, err)
	}
	_, _, err := b.tryCreate(t, Request{RepoID: "o/m", Include: []string{"*.gguf"}})
	require.ErrorContains(t, err, "None of the 3 files")
	b.hub.Hook(func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
		w.Header().Set("Retry-After", "9")
		hubtest.Refuse(w, http.StatusTooManyRequests, "", "")
		return true
	})
	_, _, err = b.tryCreate(t, Request{RepoID: "o/m"})
	require.Equal(t, 9*time.Second, errs.As(err).After)
	require.Equal(t, errs.Unavailable, errs.As(err).Code)
}

func TestAHubThatDoesNotAnswerInTimeIsNotAFaultOfOurs(t *testing.T) {
	t.Parallel()
	b := bundle(t, nil, tiny())
	b.hub.Hook(func(_ http.ResponseWriter, r *http.Request, _ bool) bool {
		<-r.Context().Done()
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.s.Plan(ctx, Request{RepoID: "o/m"})
	require.True(t, errs.HasReason(err, "download.hub_timeout") && errs.Is(err, errs.Timeout), "%v", err)
}

func TestATokenIsSealedUsedAndGoneWithTheEnd(t *testing.T) {
	t.Parallel()
	repo := tiny()
	repo.Private, repo.Token = true, "hf_secret_secret_secret"
	b := bundle(t, nil, repo)
	j, _ := b.create(t, Request{RepoID: "o/m", Token: repo.Token})
	require.NotContains(t, string(j.TokenCiphertext), "secret")
	require.NotEmpty(t, j.TokenFingerprint)
	b.worker(t).Work(t.Context(), j.ID)
	d := b.get(t, j.ID)
	require.Equal(t, Succeeded, d.Job.Status, string(d.Job.Error))
	require.Nil(t, d.Job.TokenCiphertext)
	for _, e := range requireStream(t, b, j.ID) {
		require.NotContains(t, string(e.Payload), repo.Token)
	}
	for _, r := range b.hub.Requests() {
		require.Equal(t, !r.CDN, r.Authorization == "Bearer "+repo.Token)
	}
}

func TestAPauseHoldsNoSlotAndGoesOnAtTheByte(t *testing.T) {
	t.Parallel()
	repo := tiny()
	b := bundle(t, nil, repo)
	b.hub.Rate(3 << 20) // what is on its way at the pause is a matter of time
	j, _ := b.create(t, Request{RepoID: "o/m"})
	ended := make(chan struct{})
	w := b.worker(t)
	go func() { defer close(ended); w.Work(t.Context(), j.ID) }()
	b.until(t, j.ID, "some bytes", func(d Detail) bool { return d.Job.BytesDone > 1<<20 })
	asked := b.order(t, b.s.PauseTx, j.ID)
	require.Equal(t, "pause", ViewOf(&asked, "").Order.Asked)
	require.False(t, ViewOf(&asked, "").Order.Confirmed)
	<-ended
	d := b.get(t, j.ID)
	require.Equal(t, Paused, d.Job.Status)
	require.True(t, ViewOf(&d.Job, "").Order.Confirmed)
	require.Nil(t, d.Job.WorkerProcessID)
	require.Equal(t, "paused", d.Attempts[0].DownloadAttempt.Status)

	b.queue.take()
	b.worker(t).Work(t.Context(), j.ID) // a job that is left over does nothing
	require.Equal(t, Paused, b.get(t, j.ID).Job.Status)
	b.order(t, b.s.ResumeTx, j.ID)
	require.Len(t, b.queue.take(), 1)
	b.hub.Rate(0)
	b.worker(t).Work(t.Context(), j.ID)
	require.Equal(t, Succeeded, b.get(t, j.ID).Job.Status)
	b.same(t, "o--m", repo)
	require.Less(t, b.hub.Sent(), int64(9<<20+7+3)*110/100, "nothing is fetched twice but what was on its way")
}

func TestACancelIsConfirmedByTheWorkerAndLeavesNothing(t *testing.T) {
	t.Parallel()
	b := bundle(t, nil, tiny())
	b.hub.Rate(4 << 20)
	j, _ := b.create(t, Request{RepoID: "o/m"})
	ended := make(chan struct{})
	w := b.worker(t)
	go func() { defer close(ended); w.Work(t.Context(), j.ID) }()
	b.until(t, j.ID, "some bytes", func(d Detail) bool { return d.Job.BytesDone > 1<<20 })
	asked := b.order(t, b.s.CancelTx, j.ID)
	require.Equal(t, Cancelling, asked.Status)
	<-ended
	d := b.get(t, j.ID)
	require.Equal(t, Cancelled, d.Job.Status)
	require.True(t, ViewOf(&d.Job, "").Order.Confirmed)
	require.NoDirExists(t, b.target(".downloads", "o--m"))
	require.NoDirExists(t, b.target("o--m"))
	err := b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, err := b.s.CancelTx(ctx, tx, j.ID, 0)
		return err
	})
	require.True(t, errs.HasReason(err, "download.finished"))
	requireStream(t, b, j.ID)
}

func TestAPausedJobIsCancelledAtOnceAndItsBytesGoLater(t *testing.T) {
	t.Parallel()
	b := bundle(t, nil, tiny())
	b.hub.Rate(8 << 20)
	j, _ := b.create(t, Request{RepoID: "o/m"})
	ended := make(chan struct{})
	w := b.worker(t)
	go func() { defer close(ended); w.Work(t.Context(), j.ID) }()
	b.until(t, j.ID, "some bytes", func(d Detail) bool { return d.Job.BytesDone > 1<<20 })
	b.order(t, b.s.PauseTx, j.ID)
	<-ended
	b.queue.take()
	require.Equal(t, Cancelled, b.order(t, b.s.CancelTx, j.ID).Status)
	require.DirExists(t, b.target(".downloads", "o--m"))
	due, err := b.s.Due(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Pointer{{ID: j.ID}}, due)
	require.Len(t, b.queue.take(), 1)
	b.worker(t).Work(t.Context(), j.ID)
	require.NoDirExists(t, b.target(".downloads", "o--m"))
	due, err = b.s.Due(t.Context())
	require.NoError(t, err)
	require.Empty(t, due)
}

func (b *bench) remove(t *testing.T, id int64, files bool) Deleted {
	t.Helper()
	var out Deleted
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		out, err = b.s.DeleteTx(ctx, tx, id, 0, files)
		return err
	}))
	return out
}

func TestARecordGoesWithOrWithoutItsFiles(t *testing.T) {
	t.Parallel()
	b := bundle(t, nil, tiny())
	j, _ := b.create(t, Request{RepoID: "o/m"})
	err := b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, err := b.s.DeleteTx(ctx, tx, j.ID, 0, true)
		return err
	})
	require.True(t, errs.HasReason(err, "download.active"), "%v", err)
	w := b.worker(t)
	w.Work(t.Context(), j.ID)
	require.Equal(t, Deleted{Removed: true}, b.remove(t, j.ID, false))
	require.DirExists(t, b.target("o--m"))
	_, err = b.s.Get(t.Context(), j.ID)
	require.True(t, errs.Is(err, errs.NotFound))

	require.NoError(t, os.Remove(b.target("o--m", "README.md")))
	again, created := b.create(t, Request{RepoID: "o/m"})
	require.True(t, created, "something is missing")
	sent := b.hub.Sent()
	w.Work(t.Context(), again.ID)
	require.Equal(t, sent+3, b.hub.Sent(), "only that is fetched")
	require.Equal(t, Deleted{Bytes: again.BytesTotal}, b.remove(t, again.ID, true))
	_, _, err = b.tryCreate(t, Request{RepoID: "o/m"})
	require.Error(t, err)
	w.Work(t.Context(), again.ID)
	require.NoDirExists(t, b.target("o--m"))
	var n int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM download_job`).Scan(&n))
	require.Zero(t, n)
}

func TestWhatLiesOnAnotherDiskIsLeftToWhoHasIt(t *testing.T) {
	t.Parallel()
	b := bundle(t, nil, tiny())
	j, _ := b.create(t, Request{RepoID: "o/m"})
	w := b.worker(t)
	w.Work(t.Context(), j.ID)
	b.remove(t, j.ID, true)
	_, err := b.db.Exec(t.Context(), `UPDATE download_job SET place = 'another' WHERE id = $1`, j.ID)
	require.NoError(t, err)
	w.Work(t.Context(), j.ID)
	require.DirExists(t, b.target("o--m"))
	due, err := b.s.Due(t.Context())
	require.NoError(t, err)
	require.Empty(t, due, "not at once again")
	_, err = b.db.Exec(t.Context(), `UPDATE download_job SET run_after = now() WHERE id = $1`, j.ID)
	require.NoError(t, err)
	due, err = b.s.Due(t.Context())
	require.NoError(t, err)
	require.Len(t, due, 1)
}

func TestWorkOfADeadWorkerGoesOnAndADeadWorkersWordsCountNoMore(t *testing.T) {
	t.Parallel()
	repo := tiny()
	b := bundle(t, nil, repo)
	b.hub.Rate(8 << 20)
	j, _ := b.create(t, Request{RepoID: "o/m"})
	first := b.worker(t)
	first.o.Worked = func(time.Duration, time.Duration, bool) { t.Error("others ended that attempt") }
	ended := make(chan struct{})
	go func() { defer close(ended); first.Work(t.Context(), j.ID) }()
	b.until(t, j.ID, "some bytes", func(d Detail) bool { return d.Job.BytesDone > 1<<20 })
	// It is declared dead although it lives: a partition, or a machine that slept.
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE id = $1`, first.o.ID)
	require.NoError(t, err)
	b.queue.take()
	n, err := b.s.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Len(t, b.queue.take(), 1)
	second := b.worker(t)
	var worked []bool
	second.o.Worked = func(_, _ time.Duration, failed bool) { worked = append(worked, failed) }
	second.Work(t.Context(), j.ID)
	<-ended
	require.Equal(t, []bool{false}, worked)
	d := b.get(t, j.ID)
	require.Equal(t, Succeeded, d.Job.Status, string(d.Job.Error))
	require.Equal(t, int32(2), d.Job.Attempt)
	require.Equal(t, "lost", d.Attempts[1].DownloadAttempt.Status)
	require.True(t, strings.HasPrefix(d.Attempts[1].Hostname, "host-"))
	b.same(t, "o--m", repo)
	requireStream(t, b, j.ID)
}

func TestAGracefulStopHandsOver(t *testing.T) {
	t.Parallel()
	b := bundle(t, nil, tiny())
	b.hub.Rate(8 << 20)
	j, _ := b.create(t, Request{RepoID: "o/m"})
	w := b.worker(t)
	ended := make(chan struct{})
	go func() { defer close(ended); w.Work(t.Context(), j.ID) }()
	b.until(t, j.ID, "some bytes", func(d Detail) bool { return d.Job.BytesDone > 1<<20 })
	b.queue.take()
	w.Drain(t.Context())
	<-ended
	d := b.get(t, j.ID)
	require.Equal(t, Queued, d.Job.Status)
	require.Zero(t, d.Job.Lost)
	require.Len(t, b.queue.take(), 1)
	w.Work(t.Context(), j.ID)
	require.Equal(t, Queued, b.get(t, j.ID).Job.Status, "who leaves takes nothing")
}

func TestAHubInTroubleIsTriedAgainLaterAndTheJobSaysWhy(t *testing.T) {
	t.Parallel()
	b := bundle(t, nil, tiny())
	j, _ := b.create(t, Request{RepoID: "o/m"})
	b.hub.Hook(func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
		hubtest.Refuse(w, http.StatusBadGateway, "", "")
		return true
	})
	b.queue.take()
	_, err := b.db.Exec(t.Context(), `UPDATE download_job SET run_after = now() - interval '90 seconds' WHERE id = $1`, j.ID)
	require.NoError(t, err)
	w := b.worker(t)
	worked := 0
	w.o.Worked = func(waited, took time.Duration, failed bool) {
		worked++
		require.True(t, failed)
		require.InDelta(t, 90, waited.Seconds(), 10, "since it was due")
		require.Less(t, took, 30*time.Second)
	}
	w.Work(t.Context(), j.ID)
	w.Work(t.Context(), j.ID) // not due
	require.Equal(t, 1, worked)
	d := b.get(t, j.ID)
	require.Equal(t, Queued, d.Job.Status)
	v := ViewOf(&d.Job, "")
	require.Equal(t, "unavailable", v.Error.Code)
	require.True(t, v.Error.Retryable)
	require.WithinDuration(t, time.Now().Add(15*time.Second), *v.RunAfter, 5*time.Second)
	require.Len(t, b.queue.take(), 1)
}

func TestAWrongHashFailsWithBothAndKeepsTheOtherFiles(t *testing.T) {
	t.Parallel()
	repo := tiny()
	repo.Files[2].Published = strings.Repeat("ab", 32)
	b := bundle(t, nil, repo)
	j, _ := b.create(t, Request{RepoID: "o/m"})
	b.worker(t).Work(t.Context(), j.ID)
	d := b.get(t, j.ID)
	require.Equal(t, Failed, d.Job.Status)
	v := ViewOf(&d.Job, "")
	require.Equal(t, "wrong_hash", v.Error.Code)
	require.Contains(t, v.Error.Message, repo.Files[2].Published)
	require.NoDirExists(t, b.target("o--m"))
	for _, f := range d.Files {
		if f.Path == repo.Files[2].Path {
			require.Equal(t, "failed", f.Status)
			require.Contains(t, *f.Error, repo.Files[2].Published)
		}
	}
	matches, err := filepath.Glob(b.target(".downloads", "o--m", "g*", "tree", "config.json"))
	require.NoError(t, err)
	require.Len(t, matches, 1)
}
