package beat_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/schedule"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// patience is for a machine that has other things to do.
const patience = time.Minute

// output collects what a process writes, and tells when there is more.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	select {
	case o.more <- struct{}{}:
	default:
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the process has written something.
func (o *output) await(t *testing.T, what string) {
	t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(o.String(), what) {
		select {
		case <-o.more:
		case <-deadline:
			require.Fail(t, "no "+what, o.String())
		}
	}
}

// process is one llmctl beat.
type process struct {
	cmd  *exec.Cmd
	log  *output
	exit chan error
}

// start starts a beat; it does not wait for it.
func start(t *testing.T, uri string) *process {
	t.Helper()
	path, err := filepath.Abs("../../bin/llmctl")
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not there; run `make build` first", path)
	}
	p := &process{cmd: exec.Command(path, "beat"), log: &output{more: make(chan struct{}, 1)}, exit: make(chan error, 1)}
	p.cmd.Env = []string{"LLMCTL_STUDIO_DATABASE_URI=" + uri, "LLMCTL_STUDIO_INTERNAL_BIND=off", "LLMCTL_STUDIO_DATA_DIR=" + t.TempDir()}
	p.cmd.Stderr = p.log
	require.NoError(t, p.cmd.Start())
	go func() { p.exit <- p.cmd.Wait() }()
	t.Cleanup(p.kill)
	return p
}

// kill ends it without notice; twice is no harm.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	err := <-p.exit
	p.exit <- err
}

type bundle struct {
	db        *postgres.DB
	uri       string
	flowchart int64
	schedules *schedule.Store
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{uri: pgtest.URI(t)}
	var err error
	b.db, err = postgres.Open(context.WithoutCancel(t.Context()), postgres.Options{URI: b.uri, MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(b.db.Close)
	log := event.NewLog(nil, time.Now)
	b.schedules = schedule.NewStore(b.db, log)
	g, err := flowchart.Parse([]byte(`{"nodes":[{"id":"start","kind":"start","title":"Start","position":{"x":0,"y":0},"config":{}}],"edges":[]}`))
	require.NoError(t, err)
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		b.flowchart, err = store.New(b.db, log, time.Now).Create(ctx, tx, store.Fields{Name: "Tick"}, g, nil)
		return err
	}))
	return b
}

// minutely makes a schedule whose every time is fired, however late.
func (b *bundle) minutely(t *testing.T) int64 {
	t.Helper()
	f := schedule.Defaults()
	f.Name, f.FlowchartID, f.Cron = "Tick", b.flowchart, "* * * * *"
	f.CatchUpLimit, f.OverlapPolicy = schedule.MaxCatchUp, schedule.OverlapAllow
	var id int64
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		id, err = b.schedules.Create(ctx, tx, f, nil)
		return err
	}))
	return id
}

// pull drives the clock: the next time of every schedule comes now.
func (b *bundle) pull(ctx context.Context) error {
	_, err := b.db.Exec(ctx, `UPDATE schedule SET next_fire_at = now() WHERE next_fire_at > now()`)
	return err
}

// eventually asks the database again and again.
func (b *bundle) eventually(t *testing.T, what, sql string, args ...any) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		var ok bool
		err := b.db.QueryRow(t.Context(), sql, args...).Scan(&ok)
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			require.Fail(t, "not: "+what, "%v", err)
		}
	}
}

func (b *bundle) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.db.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}
