package downloads

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/download/hub"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/hubtest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/proctest"
)

const patience = 2 * time.Minute

// installation is a database, a data folder and a hub, with the program's own
// worker processes.
type installation struct {
	t   *testing.T
	uri string
	db  *postgres.DB
	dir string
	hub *hubtest.Hub
	s   *download.Service
}

// inserting puts jobs into the real queue.
type inserting struct{ client *queue.Client }

func (i inserting) Enqueue(ctx context.Context, tx *postgres.Tx, pointers []download.Pointer) error {
	out := make([]queue.Pointer, len(pointers))
	for n, p := range pointers {
		out[n] = queue.Pointer{Kind: download.Kind, ID: p.ID, Queue: queue.Downloads, At: p.At}
	}
	return i.client.Insert(ctx, tx, out)
}

func install(t *testing.T, repo *hubtest.Repo) *installation {
	t.Helper()
	i := &installation{t: t, uri: pgtest.URI(t), dir: t.TempDir(), hub: hubtest.New(repo)}
	t.Cleanup(i.hub.Close)
	var err error
	i.db, err = postgres.Open(context.WithoutCancel(t.Context()), postgres.Options{URI: i.uri})
	require.NoError(t, err)
	t.Cleanup(i.db.Close)
	quiet := slog.New(slog.DiscardHandler)
	jobs, err := queue.NewClient(queue.Options{DB: i.db, Logger: quiet})
	require.NoError(t, err)
	box, err := secret.New(make([]byte, secret.KeySize))
	require.NoError(t, err)
	client, err := hub.New(hub.Options{Endpoint: i.hub.URL, Now: time.Now})
	require.NoError(t, err)
	i.s = download.New(download.Options{
		DB: i.db, Log: event.NewLog(nil, time.Now), Queue: inserting{jobs}, Seal: box, Fingerprint: secret.Fingerprint, Hub: client,
		DataDir: i.dir, Now: time.Now, Logger: quiet,
	})
	return i
}

func (i *installation) create(repo string) int64 {
	i.t.Helper()
	p, err := i.s.Prepare(i.t.Context(), download.Request{RepoID: repo})
	require.NoError(i.t, err)
	var id int64
	require.NoError(i.t, i.db.InTx(i.t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		j, _, err := i.s.CreateTx(ctx, tx, p, download.Origin{})
		id = j.ID
		return err
	}))
	return id
}

// worker is a process of the program.
type worker struct {
	t   *testing.T
	cmd *exec.Cmd
	log *proctest.Output
}

func (i *installation) worker(name string) *worker {
	i.t.Helper()
	binary, err := filepath.Abs("../../bin/llmctl")
	require.NoError(i.t, err)
	_, err = os.Stat(binary)
	require.NoError(i.t, err, "run `make build` first")
	w := &worker{t: i.t, cmd: exec.Command(binary, "worker", "--data-dir", i.dir), log: &proctest.Output{}}
	w.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + i.t.TempDir(), "LLMCTL_STUDIO_DATABASE_URI=" + i.uri, "HF_ENDPOINT=" + i.hub.URL,
		"CELERY_WORKER_HOSTNAME=" + name, "LLMCTL_STUDIO_INTERNAL_BIND=off", "CELERY_WORKER_QUEUES=" + queue.Downloads,
		"LLMCTL_STUDIO_SECRET_KEY=" + base64.StdEncoding.EncodeToString(make([]byte, secret.KeySize)),
	}
	w.cmd.Stdout, w.cmd.Stderr = w.log, w.log
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(i.t, w.cmd.Start())
	i.t.Cleanup(func() { w.kill() })
	return w
}

func (w *worker) signal(sig syscall.Signal) {
	w.t.Helper()
	require.NoError(w.t, w.cmd.Process.Signal(sig), w.log.String())
}

func (w *worker) kill() {
	_ = w.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	_ = w.cmd.Wait()
}

// buried has a worker that was killed known as dead at once. Others would find that
// out by themselves in ten seconds, which another test measures.
func (i *installation) buried(name string) {
	i.t.Helper()
	_, err := i.db.Exec(i.t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE hostname = $1 AND tombstone_at IS NULL AND stopped_at IS NULL`, name)
	require.NoError(i.t, err)
}

func (i *installation) get(id int64) download.Detail {
	i.t.Helper()
	d, err := i.s.Get(i.t.Context(), id)
	require.NoError(i.t, err)
	return d
}

// until waits for a job to be as the condition says.
func (i *installation) until(id int64, what string, ok func(d download.Detail) bool) download.Detail {
	i.t.Helper()
	var d download.Detail
	require.Eventually(i.t, func() bool {
		d = i.get(id)
		return ok(d)
	}, patience, 20*time.Millisecond, "%s: %s", what, d.Job.Status)
	return d
}

// same compares the target with the repository, bit by bit.
func (i *installation) same(target string, repo *hubtest.Repo) {
	i.t.Helper()
	for n := range repo.Files {
		f := &repo.Files[n]
		got, err := os.Open(filepath.Join(i.dir, "models", target, f.Path))
		require.NoError(i.t, err)
		a, b := sha256.New(), sha256.New()
		_, err = io.Copy(a, got)
		require.NoError(i.t, err)
		require.NoError(i.t, got.Close())
		_, err = io.Copy(b, f.Reader())
		require.NoError(i.t, err)
		require.Equal(i.t, b.Sum(nil), a.Sum(nil), f.Path)
	}
}

// inventory is everything below the models folder: names, sizes, times.
func (i *installation) inventory() string {
	i.t.Helper()
	var out strings.Builder
	require.NoError(i.t, filepath.WalkDir(filepath.Join(i.dir, "models"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !d.IsDir() {
			out.WriteString(path + " " + info.ModTime().String() + " " + info.Mode().String() + "\n")
		} else {
			out.WriteString(path + "\n")
		}
		return nil
	}))
	return out.String()
}

// stream checks that a job's events are numbered without a gap.
func (i *installation) stream(id int64) {
	i.t.Helper()
	after := int64(0)
	for {
		events, err := event.ReadStream(i.t.Context(), i.db, download.Stream(id), after, 1000)
		require.NoError(i.t, err)
		for _, e := range events {
			after++
			require.Equal(i.t, after, e.Envelope.Sequence)
		}
		if len(events) < 1000 {
			return
		}
	}
}
