// Package bench measures the built parts of the Studio against a real database.
// Figures are ratios and per-node costs of this machine; see README.md.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/inline"
	"github.com/llmctl/studio/internal/node"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

const nodesInChain = 40

// rig is engine, queue and runner as `llmctl up` has them, with nodes that do
// nothing.
type rig struct {
	db     *postgres.DB
	engine *run.Engine
	ends   chan int64 // runs that ended
}

type lateJobs struct{ to run.Jobs }

func (l *lateJobs) InsertNodes(ctx context.Context, tx *postgres.Tx, jobs []run.Job) error {
	return l.to.InsertNodes(ctx, tx, jobs)
}

func newRig(b *testing.B, slots int) *rig {
	b.Helper()
	db, err := postgres.Open(b.Context(), postgres.Options{URI: pgtest.URI(b), MaxConns: int32(slots) + 8})
	require.NoError(b, err)
	b.Cleanup(db.Close)
	r := &rig{db: db, ends: make(chan int64, 10_000)}
	hints := bus.NewMemory()
	hints.Subscribe(func(h bus.Hint) {
		if h.Envelope == nil || h.Envelope.Envelope.EventType != "flowchart:run:updated" {
			return
		}
		var p struct {
			ID     int64  `json:"flowchart_run_id"`
			Status string `json:"status"`
		}
		if json.Unmarshal(h.Envelope.Envelope.Payload, &p) == nil && p.Status == run.Succeeded {
			r.ends <- p.ID
		}
	})
	log := event.NewLog(hints, time.Now)
	quiet := slog.New(slog.DiscardHandler)
	jobs := &lateJobs{}
	r.engine = run.NewEngine(run.Options{
		DB: db, Log: log, Jobs: jobs, ExecutorFor: func(string) string { return "inline" }, Now: time.Now, Logger: quiet,
	})
	worker := uuid.New()
	_, err = db.Exec(b.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, level) VALUES ($1, 'bench', 'bench', 1, 'bench', 1, '{}', 2)`, worker)
	require.NoError(b, err)
	noop := inline.New(func(context.Context, executor.Payload, executor.Sink) executor.Result {
		return executor.Success(map[string]any{"exit_code": 0})
	}, inline.Options{})
	runner := node.NewRunner(node.RunnerOptions{
		Engine: r.engine, Recorder: node.NewRecorder(db, log, quiet), Executors: map[string]executor.Executor{"inline": noop},
		Worker: worker, Fresh: func() bool { return true }, Now: time.Now, Logger: quiet,
	})
	client, err := queue.NewClient(queue.Options{
		DB: db, Logger: quiet, Queues: []string{queue.Default}, Slots: slots,
		Handlers: []queue.Handler{{Kind: queue.KindNode, Work: runner.Work, Drain: runner.Drain}},
	})
	require.NoError(b, err)
	jobs.to = client
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, service := range []interface {
		Run(ctx context.Context, ready func()) error
	}{hints, client} {
		ready := make(chan struct{})
		wg.Go(func() {
			if err := service.Run(ctx, func() { close(ready) }); err != nil {
				b.Error(err)
			}
		})
		<-ready
	}
	b.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return r
}

// chain stores a flowchart of nodes one after the other.
func (r *rig) chain(b *testing.B) int64 {
	b.Helper()
	graph := `{"nodes":[{"id":"start","kind":"start","title":"","position":{"x":0,"y":0},"config":{}}`
	edges, last := "", "start"
	for i := range nodesInChain {
		id := fmt.Sprintf("n%d", i)
		graph += fmt.Sprintf(`,{"id":%q,"kind":"script","title":"","position":{"x":0,"y":0},"config":{"script":"true"}}`, id)
		edges += fmt.Sprintf(`{"id":"e%d","source":%q,"target":%q,"mode":"solid"},`, i, last, id)
		last = id
	}
	graph += fmt.Sprintf(`,{"id":"end","kind":"end","title":"","position":{"x":0,"y":0},"config":{}}],"edges":[%s{"id":"last","source":%q,"target":"end","mode":"solid"}]}`, edges, last)
	var id int64
	require.NoError(b, r.db.QueryRow(b.Context(), `INSERT INTO flowchart (name, version) VALUES ('bench', 1) RETURNING id`).Scan(&id))
	_, err := r.db.Exec(b.Context(), `INSERT INTO flowchart_version (flowchart_id, number, graph, node_count) VALUES ($1, 1, $2, $3)`, id, graph, nodesInChain+2)
	require.NoError(b, err)
	return id
}

// BenchmarkNodes runs chains of no-op nodes, fully journalled, one after the
// other and a hundred side by side.
func BenchmarkNodes(b *testing.B) {
	for _, parallel := range []int{1, 100} {
		b.Run(fmt.Sprintf("runs=%d", parallel), func(b *testing.B) {
			r := newRig(b, min(parallel, 16))
			id := r.chain(b)
			var took time.Duration
			runs := 0
			for b.Loop() {
				began := time.Now()
				for range parallel {
					_, err := r.engine.Start(b.Context(), run.StartRequest{FlowchartID: id})
					require.NoError(b, err)
				}
				for range parallel {
					<-r.ends
				}
				took += time.Since(began)
				runs += parallel
			}
			nodes := float64(runs * nodesInChain)
			b.ReportMetric(nodes/took.Seconds(), "nodes/s")
			b.ReportMetric(took.Seconds()*1000/nodes, "ms/node")
		})
	}
}

// BenchmarkCommit is the floor: a transaction that changes one row, as durable
// as the engine's.
func BenchmarkCommit(b *testing.B) {
	db := pgtest.DB(b)
	var n int
	began := time.Now()
	for b.Loop() {
		err := db.InTx(b.Context(), func(ctx context.Context, tx *postgres.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE schema_level SET level = level`)
			return err
		})
		require.NoError(b, err)
		n++
	}
	b.ReportMetric(time.Since(began).Seconds()*1000/float64(n), "ms/commit")
}
