package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
)

type rateView struct {
	M1  float64 `json:"m1" doc:"Per minute, over the last minute"`
	M5  float64 `json:"m5" doc:"Per minute, over the last five"`
	M60 float64 `json:"m60" doc:"Per minute, over the last hour"`
}

type timesView struct {
	Counts []int64  `json:"counts" doc:"By bucket; one more than bounds_seconds"`
	Count  int64    `json:"count"`
	P50    *float64 `json:"p50_seconds" doc:"null: nothing was counted"`
	P95    *float64 `json:"p95_seconds"`
	P99    *float64 `json:"p99_seconds"`
}

type pauseView struct {
	Since time.Time `json:"since"`
	By    string    `json:"by" doc:"Who paused it; empty: not known any more"`
}

type historyView struct {
	From     time.Time `json:"from" doc:"The first minute; one item each follows, the last one is the current minute"`
	Enqueued []int64   `json:"enqueued"`
	Finished []int64   `json:"finished"`
	Failed   []int64   `json:"failed" doc:"Of the finished ones"`
}

// QueueView is how a queue is doing.
type QueueView struct {
	Name              string      `json:"name"`
	Waiting           int         `json:"waiting" doc:"Jobs that could be taken now"`
	WaitingMore       bool        `json:"waiting_more" doc:"There are more than that; they were not counted further"`
	Scheduled         int         `json:"scheduled" doc:"Jobs that can be taken later: retries that wait for their time"`
	Running           int         `json:"running" doc:"Attempts that are held by a worker"`
	Dead              int         `json:"dead" doc:"Node runs that failed for good and jobs that could not be worked, at most 1000 of each counted"`
	WaitingSince      *time.Time  `json:"waiting_since" doc:"Since when the oldest job could be taken"`
	WaitingSeconds    *float64    `json:"waiting_seconds" doc:"The same as an age, by the database's clock"`
	Paused            *pauseView  `json:"paused" doc:"null: it is not"`
	Consumers         int         `json:"consumers" doc:"Live workers that take from it"`
	DrainingConsumers int         `json:"draining_consumers" doc:"Live workers that would, but take nothing new"`
	Slots             int         `json:"slots" doc:"Of its consumers, which share them with their other queues"`
	FreeSlots         int         `json:"free_slots"`
	NoConsumer        bool        `json:"no_consumer" doc:"Jobs wait and nobody takes them"`
	Notice            string      `json:"notice" doc:"What keeps its jobs waiting and what to do, for people; empty: nothing"`
	Enqueued          rateView    `json:"enqueued_per_minute"`
	Finished          rateView    `json:"finished_per_minute" doc:"Attempts that ended, however"`
	Waited            timesView   `json:"waited" doc:"From due to begun, over the last hour"`
	Took              timesView   `json:"took" doc:"From begun to ended, over the last hour"`
	History           historyView `json:"history"`
}

type queuesOutput struct {
	Body struct {
		Items      []QueueView `json:"items"`
		NextCursor *string     `json:"next_cursor" doc:"null: all are here"`
		At         time.Time   `json:"at" doc:"The database's clock"`
		Bounds     []float64   `json:"bounds_seconds" doc:"Upper bounds of the buckets of waited and took"`
		Slots      slotsView   `json:"slots" doc:"Of all live workers"`

		Threads ThreadsQueueView `json:"threads" doc:"The turns of threads, which are on no public queue"`
	}
}

type heatView struct {
	Waited [][]int64 `json:"waited" doc:"By minute as in history, then by bucket"`
	Took   [][]int64 `json:"took"`
}

type queueOutput struct {
	Body struct {
		QueueView
		At     time.Time `json:"at"`
		Bounds []float64 `json:"bounds_seconds"`
		Heat   heatView  `json:"heat"`
	}
}

// QueueInput names a queue.
type QueueInput struct {
	Name string `path:"name" maxLength:"100"`
}

func (s *server) registerQueues() {
	handle(s, route{
		method: http.MethodGet, path: "/queues", id: "list-queues", tag: "operations", permission: auth.Read,
		summary: "All queues: what waits, who takes it, how fast",
	}, s.listQueues)
	handle(s, route{
		method: http.MethodGet, path: "/queues/{name}", id: "get-queue", tag: "operations", permission: auth.Read,
		summary: "A queue, with its waiting and running times by minute",
	}, s.getQueue)
	handle(s, route{
		method: http.MethodPost, path: "/queues/{name}/pause", id: "pause-queue", tag: "operations", permission: auth.Manage, audit: true,
		summary: "Have nobody take from a queue; what runs goes on",
	}, s.pauseQueue)
	handle(s, route{
		method: http.MethodPost, path: "/queues/{name}/resume", id: "resume-queue", tag: "operations", permission: auth.Manage, audit: true,
		summary: "Have a paused queue worked again",
	}, s.resumeQueue)
	s.registerJobs()
}

func (s *server) listQueues(ctx context.Context, _ *struct{}) (*queuesOutput, error) {
	seen, err := s.deps.Queues.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	out := &queuesOutput{}
	out.Body.At, out.Body.Bounds, out.Body.Items = seen.At, queue.Bounds(), make([]QueueView, len(seen.Queues))
	out.Body.Threads = viewTurnsQueue(&seen.Turns, seen.At)
	out.Body.Slots.Total, out.Body.Slots.Busy = seen.Slots()
	for i := range seen.Queues {
		out.Body.Items[i] = viewQueue(&seen.Queues[i], seen.At)
	}
	return out, nil
}

func (s *server) getQueue(ctx context.Context, in *QueueInput) (*queueOutput, error) {
	if err := queue.Known(in.Name); err != nil {
		return nil, err
	}
	seen, err := s.deps.Queues.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	for i := range seen.Queues {
		if q := &seen.Queues[i]; q.Name == in.Name {
			out := &queueOutput{}
			out.Body.QueueView, out.Body.At, out.Body.Bounds = viewQueue(q, seen.At), seen.At, queue.Bounds()
			out.Body.Heat = viewHeat(q.Hour(seen.At))
			return out, nil
		}
	}
	return nil, fmt.Errorf("no figures of queue %s", in.Name)
}

func (s *server) pauseQueue(ctx context.Context, in *QueueInput) (*queueOutput, error) {
	return s.steerQueue(ctx, in.Name, "queue.paused", func(ctx context.Context, tx *postgres.Tx) (bool, error) {
		return s.deps.Queues.Pause(ctx, tx, in.Name, user(ctx).UserID)
	})
}

func (s *server) resumeQueue(ctx context.Context, in *QueueInput) (*queueOutput, error) {
	return s.steerQueue(ctx, in.Name, "queue.resumed", func(ctx context.Context, tx *postgres.Tx) (bool, error) {
		return s.deps.Queues.Resume(ctx, tx, in.Name)
	})
}

// steerQueue changes a queue and notes it if it is a change.
func (s *server) steerQueue(ctx context.Context, name, action string, f func(ctx context.Context, tx *postgres.Tx) (bool, error)) (*queueOutput, error) {
	err := s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		changed, err := f(ctx, tx)
		if err != nil || !changed {
			return err
		}
		return auth.Audit(ctx, tx, auth.AuditEntry{UserID: user(ctx).UserID, Action: action, EntityKind: "queue", EntityID: name})
	})
	if err != nil {
		return nil, err
	}
	return s.getQueue(ctx, &QueueInput{Name: name})
}

func viewQueue(q *queue.Stats, at time.Time) QueueView {
	in, out := q.Rates(at)
	waited, took := q.Distributions()
	v := QueueView{
		Name: q.Name, Waiting: min(q.Waiting, queue.CountedJobs), WaitingMore: q.Waiting > queue.CountedJobs, Scheduled: q.Scheduled,
		Running: q.Running, Dead: q.Dead, WaitingSince: q.WaitingSince, Consumers: q.Consumers, DrainingConsumers: q.DrainingConsumers,
		Slots: q.Slots, FreeSlots: q.FreeSlots, NoConsumer: q.NoConsumer(), Notice: notice(q), Enqueued: rateView(in), Finished: rateView(out),
		Waited: viewTimes(waited), Took: viewTimes(took), History: viewHistory(q.Hour(at)),
	}
	if q.PausedAt != nil {
		v.Paused = &pauseView{Since: *q.PausedAt, By: q.PausedBy}
	}
	if q.WaitingSince != nil {
		age := max(at.Sub(*q.WaitingSince).Seconds(), 0)
		v.WaitingSeconds = &age
	}
	return v
}

// notice says in a sentence why jobs wait that nobody takes.
func notice(q *queue.Stats) string {
	waits := strconv.Itoa(q.Waiting+q.Scheduled) + " jobs wait"
	if q.Waiting+q.Scheduled == 1 {
		waits = "1 job waits"
	}
	switch {
	case q.PausedAt != nil && q.Waiting > 0:
		return waits + ": the queue is paused. Resume it to have them worked."
	case !q.NoConsumer():
		return ""
	case q.DrainingConsumers > 0:
		return waits + " and every worker that takes this queue is draining. Resume one, or start another."
	}
	return waits + " and no worker takes this queue. Start one: llmctl worker, with " + q.Name + " in CELERY_WORKER_QUEUES."
}

func viewTimes(counts []int64) timesView {
	v := timesView{Counts: counts}
	for _, n := range counts {
		v.Count += n
	}
	for share, to := range map[float64]**float64{.5: &v.P50, .95: &v.P95, .99: &v.P99} {
		if seconds, ok := queue.Quantile(counts, share); ok {
			*to = &seconds
		}
	}
	return v
}

func viewHistory(hour []queue.Minute) historyView {
	v := historyView{From: hour[0].Minute}
	for _, m := range hour {
		v.Enqueued, v.Finished, v.Failed = append(v.Enqueued, m.Enqueued), append(v.Finished, m.Finished), append(v.Failed, m.Failed)
	}
	return v
}

func viewHeat(hour []queue.Minute) heatView {
	v := heatView{Waited: make([][]int64, len(hour)), Took: make([][]int64, len(hour))}
	for i, m := range hour {
		v.Waited[i], v.Took[i] = orZeros(m.Waited), orZeros(m.Took)
	}
	return v
}

// orZeros gives as many counts as there are buckets.
func orZeros(counts []int64) []int64 {
	out := make([]int64, len(queue.Bounds())+1)
	copy(out, counts)
	return out
}

// placeCursor names the place of an item in a list that is ordered by time and id.
func placeCursor(at time.Time, id int64) string {
	return "t" + strconv.FormatInt(at.UnixMicro(), 36) + "." + strconv.FormatInt(id, 36)
}

func invalidCursor() error {
	return errs.E(errs.Invalid, "request.invalid_cursor", "The cursor is not one that a list gave.",
		errs.Detail{Location: "query.cursor", Message: "use next_cursor of the page before"})
}
