package httpapi

import (
	"time"

	"github.com/llmctl/studio/internal/queue"
)

// ThreadsQueueView is how the turns of threads are doing. They are on no public queue: they have slots of their own in
// every worker that takes the queue llmctl_studio.
type ThreadsQueueView struct {
	Waiting        int         `json:"waiting" doc:"Turns that could be worked now"`
	WaitingSince   *time.Time  `json:"waiting_since" doc:"Since when the oldest of them could"`
	WaitingSeconds *float64    `json:"waiting_seconds" doc:"The same as an age, by the database's clock"`
	Behind         int         `json:"behind" doc:"Turns that wait for an earlier one of their thread"`
	Scheduled      int         `json:"scheduled" doc:"Turns whose provider was too busy, until they are tried again"`
	NeedsApproval  int         `json:"needs_approval" doc:"Turns that wait for a person; they hold no worker"`
	Running        int         `json:"running"`
	Consumers      int         `json:"consumers" doc:"Live workers that take turns"`
	NoConsumer     bool        `json:"no_consumer" doc:"Turns wait and nobody takes them"`
	Enqueued       rateView    `json:"enqueued_per_minute"`
	Finished       rateView    `json:"finished_per_minute" doc:"Attempts that ended, however"`
	Waited         timesView   `json:"waited" doc:"From due to begun, over the last hour"`
	Took           timesView   `json:"took" doc:"From begun to ended, over the last hour"`
	History        historyView `json:"history"`
}

func viewTurnsQueue(t *queue.Turns, at time.Time) ThreadsQueueView {
	in, out := t.Stats.Rates(at)
	waited, took := t.Stats.Distributions()
	v := ThreadsQueueView{
		Waiting: t.Waiting, WaitingSince: t.WaitingSince, Behind: t.Behind, Scheduled: t.Later, NeedsApproval: t.Approval, Running: t.Running,
		Consumers: t.Consumers, NoConsumer: t.Waiting > 0 && t.Consumers == 0, Enqueued: rateView(in), Finished: rateView(out),
		Waited: viewTimes(waited), Took: viewTimes(took), History: viewHistory(t.Stats.Hour(at)),
	}
	if t.WaitingSince != nil {
		v.WaitingSeconds = new(max(at.Sub(*t.WaitingSince).Seconds(), 0))
	}
	return v
}
