package httpapi

import (
	"time"

	"github.com/llmctl/studio/internal/run"
)

// podView is how an attempt was brought into a pod.
type podView struct {
	DispatchID     *string    `json:"dispatch_id" doc:"What it was dispatched as; null: not yet"`
	DispatchStatus string     `json:"dispatch_status" enum:"dispatch_pending,dispatch_submitted,dispatch_confirmed,dispatch_failed"`
	Uncertain      bool       `json:"dispatch_uncertain" doc:"Nobody knows what became of it; it is looked into"`
	Note           *string    `json:"note" doc:"What the pod waits for, or how it ended"`
	UID            *string    `json:"uid" doc:"The pod; null: none has started"`
	DispatchedAt   *time.Time `json:"dispatched_at"`
	SubmittedAt    *time.Time `json:"submitted_at"`
	ConfirmedAt    *time.Time `json:"confirmed_at" doc:"When the pod was told that it may start"`
}

func viewPod(a *run.Attempt) *podView {
	if a.Executor != run.InPod {
		return nil
	}
	return &podView{
		DispatchID: a.ProviderDispatchID, DispatchStatus: a.DispatchStatus, Uncertain: a.DispatchUncertain, Note: a.DispatchNote, UID: a.PodUid,
		DispatchedAt: a.DispatchedAt, SubmittedAt: a.SubmittedAt, ConfirmedAt: a.ConfirmedAt,
	}
}
