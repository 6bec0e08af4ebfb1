package httpapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
)

type slotView struct {
	Kind           string    `json:"kind" enum:"node_run,download" doc:"What runs; id names it"`
	ID             int64     `json:"id"`
	Attempt        int32     `json:"attempt"`
	Queue          string    `json:"queue"`
	FlowchartRunID *int64    `json:"flowchart_run_id"`
	FlowchartID    *int64    `json:"flowchart_id"`
	FlowchartName  string    `json:"flowchart_name"`
	NodeKind       string    `json:"node_kind"`
	Title          string    `json:"title" doc:"Of a download the model that it brings"`
	Status         string    `json:"status" enum:"running,cancelling"`
	Stage          string    `json:"stage" doc:"Of a download its state"`
	Executor       string    `json:"executor"`
	Since          time.Time `json:"since"`
}

type workerView struct {
	ID             string     `json:"id" format:"uuid"`
	Hostname       string     `json:"hostname"`
	PID            int        `json:"pid"`
	Version        string     `json:"version"`
	State          string     `json:"state" enum:"ready,busy,draining,suspect,dead,stopped" doc:"suspect: its last beat is so old that it starts nothing; dead: others declared it so, for good"`
	Slots          int        `json:"slots"`
	Busy           int        `json:"busy" doc:"Slots that are taken"`
	Running        []slotView `json:"running"`
	Queues         []string   `json:"queues"`
	BeatAt         time.Time  `json:"beat_at"`
	BeatAgeSeconds float64    `json:"beat_age_seconds" doc:"By the database's clock"`
	StartedAt      time.Time  `json:"started_at"`
	EndedAt        *time.Time `json:"ended_at"`
	DrainingSince  *time.Time `json:"draining_since"`
	DrainingBy     string     `json:"draining_by"`
	RSSBytes       *int64     `json:"rss_bytes" doc:"null: not known yet"`
	CPUCores       *float32   `json:"cpu_cores" doc:"Used on average between the last two beats"`
	Goroutines     *int32     `json:"goroutines"`
}

func viewWorker(w *queue.Worker, at time.Time) workerView {
	v := workerView{
		ID: w.ID.String(), Hostname: w.Hostname, PID: w.PID, Version: w.Version, State: string(w.State), Slots: w.Slots, Busy: len(w.Held),
		Running: make([]slotView, len(w.Held)), Queues: w.Queues, BeatAt: w.BeatAt, BeatAgeSeconds: max(at.Sub(w.BeatAt).Seconds(), 0),
		StartedAt: w.StartedAt, EndedAt: w.TombstoneAt, DrainingSince: w.DrainingAt, DrainingBy: w.DrainingBy,
		RSSBytes: w.RSSBytes, CPUCores: w.CPUCores, Goroutines: w.Goroutines,
	}
	if v.EndedAt == nil {
		v.EndedAt = w.StoppedAt
	}
	for i, h := range w.Held {
		v.Running[i] = slotView{
			Kind: h.Kind, ID: h.ID, Attempt: h.Attempt, Queue: h.Queue, FlowchartRunID: h.FlowchartRunID, FlowchartID: h.FlowchartID,
			FlowchartName: h.FlowchartName, NodeKind: h.NodeKind, Title: h.Title, Status: h.Status, Stage: h.Stage, Executor: h.Executor,
			Since: h.Since,
		}
	}
	return v
}

type listWorkersInput struct {
	State []string `query:"state" enum:"ready,busy,draining,suspect,dead,stopped" doc:"Only those in these states"`
	Queue string   `query:"queue" maxLength:"100" doc:"Only those that take from this queue"`
}

type workersOutput struct {
	Body struct {
		Items      []workerView `json:"items"`
		NextCursor *string      `json:"next_cursor" doc:"null: all are here"`
		At         time.Time    `json:"at" doc:"The database's clock"`
		Slots      slotsView    `json:"slots" doc:"Of all live workers, whatever the filters"`
	}
}

type slotsView struct {
	Total int `json:"total"`
	Busy  int `json:"busy"`
}

type workerInput struct {
	ID string `path:"id" format:"uuid"`
}

type workerOutput struct{ Body workerView }

func (s *server) registerWorkers() {
	handle(s, route{
		method: http.MethodGet, path: "/workers", id: "list-workers", tag: "operations", permission: auth.Read,
		summary: "Worker processes that are alive or ended within the last hour, with what each runs",
	}, s.listWorkers)
	handle(s, route{
		method: http.MethodPost, path: "/workers/{id}/drain", id: "drain-worker", tag: "operations", permission: auth.Manage, audit: true,
		summary: "Have a worker take nothing new, until it is resumed or ends; what it runs goes on",
	}, func(ctx context.Context, in *workerInput) (*workerOutput, error) {
		return s.steerWorker(ctx, in.ID, "worker.drained", func(ctx context.Context, tx *postgres.Tx, id uuid.UUID) (bool, error) {
			return s.deps.Queues.Drain(ctx, tx, id, user(ctx).UserID)
		})
	})
	handle(s, route{
		method: http.MethodPost, path: "/workers/{id}/resume", id: "resume-worker", tag: "operations", permission: auth.Manage, audit: true,
		summary: "Have a draining worker take work again",
	}, func(ctx context.Context, in *workerInput) (*workerOutput, error) {
		return s.steerWorker(ctx, in.ID, "worker.resumed", s.deps.Queues.Undrain)
	})
}

func (s *server) listWorkers(ctx context.Context, in *listWorkersInput) (*workersOutput, error) {
	if in.Queue != "" {
		if err := queue.Known(in.Queue); err != nil {
			return nil, err
		}
	}
	seen, err := s.deps.Queues.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	out := &workersOutput{}
	out.Body.At, out.Body.Items = seen.At, []workerView{}
	out.Body.Slots.Total, out.Body.Slots.Busy = seen.Slots()
	for i := range seen.Workers {
		w := &seen.Workers[i]
		if (len(in.State) == 0 || slices.Contains(in.State, string(w.State))) && (in.Queue == "" || slices.Contains(w.Queues, in.Queue)) {
			out.Body.Items = append(out.Body.Items, viewWorker(w, seen.At))
		}
	}
	return out, nil
}

// steerWorker changes a worker and notes it if it is a change.
func (s *server) steerWorker(ctx context.Context, text, action string, f func(ctx context.Context, tx *postgres.Tx, id uuid.UUID) (bool, error)) (*workerOutput, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, errs.Ef(errs.NotFound, "worker.not_found", "There is no worker %q.", text)
	}
	err = s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		changed, err := f(ctx, tx, id)
		if err != nil || !changed {
			return err
		}
		return auth.Audit(ctx, tx, auth.AuditEntry{UserID: user(ctx).UserID, Action: action, EntityKind: "worker", EntityID: id.String()})
	})
	if err != nil {
		return nil, err
	}
	seen, err := s.deps.Queues.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	for i := range seen.Workers {
		if seen.Workers[i].ID == id {
			return &workerOutput{Body: viewWorker(&seen.Workers[i], seen.At)}, nil
		}
	}
	return nil, errs.Ef(errs.NotFound, "worker.not_found", "There is no worker %s any more.", id)
}
