package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/queue"
)

type targetView struct {
	Kind           string `json:"kind" enum:"node_run,download"`
	ID             int64  `json:"id"`
	FlowchartRunID *int64 `json:"flowchart_run_id"`
	FlowchartID    *int64 `json:"flowchart_id"`
	FlowchartName  string `json:"flowchart_name"`
	NodeKind       string `json:"node_kind"`
	Title          string `json:"title" doc:"Of a download the model that it brings"`
	Status         string `json:"status"`
}

func viewTarget(t *queue.Target) *targetView {
	if t == nil {
		return nil
	}
	v := targetView(*t)
	return &v
}

type queueJobView struct {
	ID       int64       `json:"id" doc:"Of a running one the attempt's, else the job's"`
	Kind     string      `json:"kind"`
	Attempt  int32       `json:"attempt" doc:"The attempt that runs; of others, those that there were"`
	QueuedAt time.Time   `json:"queued_at"`
	DueAt    time.Time   `json:"due_at" doc:"When it can be taken; of a running one, when it was"`
	Worker   string      `json:"worker" doc:"Host of the worker that runs it"`
	Target   *targetView `json:"target" doc:"What it points at; null: that is gone"`
}

type listJobsInput struct {
	QueueInput
	PageInput
	State string `query:"state" enum:"waiting,scheduled,running" default:"waiting"`
}

type deadView struct {
	ID        string      `json:"id" doc:"For example node_run-55 or job-7"`
	Kind      string      `json:"kind" enum:"node_run,job" doc:"node_run: it failed for good; job: no worker could work it"`
	Code      string      `json:"code" doc:"Of the failure"`
	Message   string      `json:"message"`
	Attempts  int32       `json:"attempts"`
	Failures  int32       `json:"failures"`
	Lost      int32       `json:"lost" doc:"Attempts that died with their worker"`
	EndedAt   time.Time   `json:"ended_at"`
	Target    *targetView `json:"target"`
	RetriedBy *int64      `json:"retried_by" doc:"The newest run that is a retry of its run"`

	RetriedByNode *int64 `json:"retried_by_node_run" doc:"Of a quick node: the newest node run that is a retry of it"`
}

type listDeadInput struct {
	QueueInput
	PageInput
	Code    string `query:"code" maxLength:"100" doc:"Only failures with this code"`
	Kind    string `query:"kind" enum:"node_run,job"`
	Pending bool   `query:"pending" doc:"Only what was not retried yet"`
}

func (s *server) registerJobs() {
	handle(s, route{
		method: http.MethodGet, path: "/queues/{name}/jobs", id: "list-queue-jobs", tag: "operations", permission: auth.Read,
		summary: "Jobs of a queue, those that were due first, with what they point at",
	}, s.listJobs)
	handle(s, route{
		method: http.MethodGet, path: "/queues/{name}/dead", id: "list-dead-jobs", tag: "operations", permission: auth.Read,
		summary: "What failed for good or could not be worked, newest first, with why",
	}, s.listDead)
	handle(s, route{
		method: http.MethodPost, path: "/queues/{name}/dead/retry", id: "retry-dead-jobs", tag: "operations", permission: auth.Write, audit: true,
		summary: "Retry dead items, with an answer for each; what was retried already is not retried again",
	}, s.retryDead)
}

func (s *server) listJobs(ctx context.Context, in *listJobsInput) (*pageOutput[queueJobView], error) {
	q := queue.JobQuery{Queue: in.Name, State: queue.JobState(in.State), Limit: int(in.Limit) + 1}
	if in.Cursor != "" {
		at, id, ok := strings.Cut(strings.TrimPrefix(in.Cursor, "t"), ".")
		micros, errAt := strconv.ParseInt(at, 36, 64)
		var errID error
		q.AfterID, errID = strconv.ParseInt(id, 36, 64)
		if !ok || errAt != nil || errID != nil || !strings.HasPrefix(in.Cursor, "t") {
			return nil, invalidCursor()
		}
		q.After = time.UnixMicro(micros)
	}
	rows, err := s.deps.Queues.Jobs(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &pageOutput[queueJobView]{Body: page[queueJobView]{Items: make([]queueJobView, 0, len(rows))}}
	for i, j := range rows {
		if i == int(in.Limit) {
			cursor := placeCursor(rows[i-1].Due, rows[i-1].ID)
			out.Body.NextCursor = &cursor
			break
		}
		out.Body.Items = append(out.Body.Items, queueJobView{
			ID: j.ID, Kind: j.Kind, Attempt: j.Attempt, QueuedAt: j.Queued, DueAt: j.Due, Worker: j.Worker, Target: viewTarget(j.Target),
		})
	}
	return out, nil
}

func viewDead(d *queue.DeadLetter) deadView {
	return deadView{
		ID: d.String(), Kind: d.Kind, Code: d.Code, Message: d.Message, Attempts: d.Attempts, Failures: d.Failures, Lost: d.Lost,
		EndedAt: d.EndedAt, Target: viewTarget(d.Target), RetriedBy: d.RetriedBy, RetriedByNode: d.RetriedByNode,
	}
}

func (s *server) listDead(ctx context.Context, in *listDeadInput) (*pageOutput[deadView], error) {
	q := queue.DeadQuery{Queue: in.Name, Code: in.Code, Kind: in.Kind, Pending: in.Pending, Limit: int(in.Limit) + 1}
	if in.Cursor != "" {
		var err error
		if q.Before, err = queue.ParseDeadID(in.Cursor); err != nil {
			return nil, invalidCursor()
		}
	}
	rows, err := s.deps.Queues.Dead(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &pageOutput[deadView]{Body: page[deadView]{Items: make([]deadView, 0, len(rows))}}
	for i := range rows {
		if i == int(in.Limit) {
			cursor := rows[i-1].String()
			out.Body.NextCursor = &cursor
			break
		}
		out.Body.Items = append(out.Body.Items, viewDead(&rows[i]))
	}
	return out, nil
}
