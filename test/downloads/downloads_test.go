package downloads

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/testkit/hubtest"
)

// many is a model of many files, some of them large. LLMCTL_TEST_DOWNLOAD=full
// makes it as large, and the kills as many, as the promise says.
func many() (repo *hubtest.Repo, rate int64, kills int) {
	large, rate, kills := int64(10<<20), int64(5<<20), 6
	if os.Getenv("LLMCTL_TEST_DOWNLOAD") == "full" {
		large, rate, kills = 290<<20, 60<<20, 20
	}
	repo = &hubtest.Repo{ID: "o/many"}
	for n := range 60 {
		repo.Files = append(repo.Files, hubtest.File{Path: fmt.Sprintf("small/%02d.json", n), Size: 1000 + int64(n)*997, Seed: uint64(n)})
	}
	for n := range 7 {
		repo.Files = append(repo.Files, hubtest.File{Path: fmt.Sprintf("model-%d-of-7.safetensors", n), LFS: true, Size: large + int64(n)*4321, Seed: uint64(100 + n)})
	}
	return repo, rate, kills
}

func bytesOf(repo *hubtest.Repo) int64 {
	var n int64
	for _, f := range repo.Files {
		n += f.Size
	}
	return n
}

// The worker is killed again and again, each time somewhere in its work; the next one
// goes on from the bytes on the disk.
func TestADownloadSurvivesKillsAndFetchesHardlyAnythingTwice(t *testing.T) {
	t.Parallel()
	repo, rate, kills := many()
	i := install(t, repo)
	i.hub.Rate(rate)
	id := i.create(repo.ID)
	total := bytesOf(repo)
	for n := range kills {
		name := fmt.Sprintf("killed-%d", n)
		w := i.worker(name)
		// Somewhere within this kill's share of the whole.
		mark := total*int64(n)/int64(kills+1) + rand.Int64N(total/int64(kills+1))
		i.until(id, fmt.Sprintf("kill %d", n), func(d download.Detail) bool {
			return d.Job.FinishedAt != nil || i.hub.Sent() > mark && d.Worker == name && d.Job.Status == download.Downloading
		})
		w.kill()
		require.Nil(t, i.get(id).Job.FinishedAt, "it was to be killed before the end: %s", i.get(id).Job.Error)
		i.buried(name)
	}
	i.worker("last")
	d := i.until(id, "the end", func(d download.Detail) bool { return d.Job.FinishedAt != nil })
	require.Equal(t, download.Succeeded, d.Job.Status, string(d.Job.Error))
	require.EqualValues(t, kills+1, d.Job.Attempt)
	i.same("o--many", repo)
	i.stream(id)
	twice := float64(i.hub.Sent()-total) / float64(total)
	t.Logf("%d bytes, %d kills: %.2f %% of the bytes were fetched twice", total, kills, 100*twice)
	require.Less(t, twice, 0.05)
}

// Nobody tells the second worker that the first one was killed.
func TestWorkOfAKilledWorkerGoesOnWithinFifteenSeconds(t *testing.T) {
	t.Parallel()
	repo := &hubtest.Repo{ID: "o/m", Files: []hubtest.File{{Path: "m.bin", LFS: true, Size: 40 << 20, Seed: 1}}}
	i := install(t, repo)
	i.hub.Rate(2 << 20)
	id := i.create(repo.ID)
	first := i.worker("first")
	i.until(id, "some bytes", func(d download.Detail) bool { return d.Worker == "first" && d.Job.BytesDone > 2<<20 })
	i.worker("second")
	i.until(id, "both", func(download.Detail) bool { return i.workers() == 2 })
	first.kill()
	began := time.Now()
	i.until(id, "the second one", func(d download.Detail) bool { return d.Worker == "second" && d.Job.Status == download.Downloading })
	t.Logf("taken up after %.1f s", time.Since(began).Seconds())
	require.Less(t, time.Since(began), 15*time.Second)
	i.hub.Rate(0)
	i.until(id, "the end", func(d download.Detail) bool { return d.Job.Status == download.Succeeded })
	i.same("o--m", repo)
	require.Less(t, i.hub.Sent(), int64(40<<20)*105/100)
}

// What a worker fetches is what others see in its slots, and its end is counted.
func TestTheBoardShowsAndCountsWhatAWorkerFetches(t *testing.T) {
	t.Parallel()
	repo := &hubtest.Repo{ID: "o/m", Files: []hubtest.File{{Path: "m.bin", LFS: true, Size: 8 << 20, Seed: 1}}}
	i := install(t, repo)
	i.hub.Rate(1 << 20)
	id := i.create(repo.ID)
	i.worker("only")
	i.until(id, "some bytes", func(d download.Detail) bool { return d.Job.BytesDone > 1<<20 })
	jobs, err := queue.NewClient(queue.Options{DB: i.db, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	s, err := queue.NewBoard(i.db, jobs, nil, time.Now).Snapshot(t.Context())
	require.NoError(t, err)
	require.Len(t, s.Workers, 1)
	require.Len(t, s.Workers[0].Held, 1)
	h := s.Workers[0].Held[0]
	require.Equal(t, []any{queue.TargetDownload, id, "o/m", int32(1)}, []any{h.Kind, h.ID, h.Title, h.Attempt})
	i.hub.Rate(0)
	i.until(id, "the end", func(d download.Detail) bool { return d.Job.Status == download.Succeeded })
	require.Eventually(t, func() bool {
		var finished, failed int
		err := i.db.QueryRow(t.Context(), `SELECT coalesce(sum(finished), 0), coalesce(sum(failed), 0) FROM queue_minute WHERE queue = $1`, queue.Downloads).Scan(&finished, &failed)
		return err == nil && finished == 1 && failed == 0
	}, patience, 20*time.Millisecond)
}

func (i *installation) workers() (n int) {
	i.t.Helper()
	require.NoError(i.t, i.db.QueryRow(i.t.Context(), `SELECT count(*) FROM worker_process WHERE stopped_at IS NULL AND tombstone_at IS NULL`).Scan(&n))
	return n
}

// A process that stands still is declared dead; what it does when it wakes up
// changes nothing, neither in the database nor on the disk.
func TestAFrozenWorkerThatThawsChangesNothing(t *testing.T) {
	t.Parallel()
	repo := &hubtest.Repo{ID: "o/m", Files: []hubtest.File{
		{Path: "a.bin", LFS: true, Size: 30 << 20, Seed: 1}, {Path: "b.bin", LFS: true, Size: 10 << 20, Seed: 2}, {Path: "c.json", Size: 4000, Seed: 3},
	}}
	i := install(t, repo)
	i.hub.Rate(4 << 20)
	id := i.create(repo.ID)
	frozen := i.worker("frozen")
	i.until(id, "some bytes", func(d download.Detail) bool { return d.Worker == "frozen" && d.Job.BytesDone > 6<<20 })
	i.worker("second")
	i.until(id, "both", func(download.Detail) bool { return i.workers() == 2 })
	frozen.signal(syscall.SIGSTOP)
	began := time.Now()
	i.until(id, "the second one", func(d download.Detail) bool { return d.Worker == "second" && d.Job.Status == download.Downloading })
	require.Less(t, time.Since(began), 15*time.Second)
	t.Logf("taken up after %.1f s", time.Since(began).Seconds())

	// It thaws in the middle of the other one's work.
	frozen.signal(syscall.SIGCONT)
	i.hub.Rate(0)
	d := i.until(id, "the end", func(d download.Detail) bool { return d.Job.FinishedAt != nil })
	require.Equal(t, download.Succeeded, d.Job.Status, string(d.Job.Error))
	require.Equal(t, int32(2), d.Job.Attempt)
	i.same("o--m", repo)
	before := i.inventory()
	require.Eventually(t, func() bool { return strings.Contains(frozen.log.String(), "went to another attempt") }, patience, 50*time.Millisecond,
		"it notices: %s", frozen.log)
	require.Equal(t, before, i.inventory())
	i.same("o--m", repo)
	require.NoDirExists(t, i.dir+"/models/.downloads/o--m")
	i.stream(id)
}
