package run

import "slices"

// Status is the state of a run, a node run or an attempt.
type Status = string

// The states; which of them a run, a node run or an attempt can be in is in the
// tables below.
const (
	Queued     Status = "queued"
	Pending    Status = "pending" // a node run that waits for its run's max_parallel_nodes
	Running    Status = "running"
	Waiting    Status = "waiting"
	Pausing    Status = "pausing"
	Paused     Status = "paused"
	Cancelling Status = "cancelling"
	Succeeded  Status = "succeeded"
	Degraded   Status = "degraded"
	Failed     Status = "failed"
	Cancelled  Status = "cancelled"
	Skipped    Status = "skipped"
	Lost       Status = "lost" // an attempt whose worker died
)

// Transitions lists for each state the states that may follow; a state that
// nothing follows is final.
type Transitions map[Status][]Status

// FlowchartRuns is the life of a flowchart run.
func FlowchartRuns() Transitions {
	return Transitions{
		Queued:     {Running, Cancelling, Succeeded, Failed, Cancelled},
		Running:    {Pausing, Cancelling, Succeeded, Failed, Cancelled},
		Pausing:    {Paused, Running, Cancelling},
		Paused:     {Running, Cancelling, Cancelled},
		Cancelling: {Failed, Cancelled},
		Succeeded:  nil, Failed: nil, Cancelled: nil,
	}
}

// NodeRuns is the life of a node run.
func NodeRuns() Transitions {
	return Transitions{
		Pending:    {Queued, Cancelled},
		Queued:     {Running, Cancelled},
		Running:    {Queued, Waiting, Cancelling, Succeeded, Degraded, Failed, Cancelled},
		Waiting:    {Queued, Running, Cancelled, Failed},
		Cancelling: {Succeeded, Degraded, Failed, Cancelled},
		Succeeded:  nil, Degraded: nil, Failed: nil, Cancelled: nil, Skipped: nil,
	}
}

// Attempts is the life of an attempt.
func Attempts() Transitions {
	return Transitions{
		Running:    {Cancelling, Succeeded, Degraded, Failed, Cancelled, Lost},
		Cancelling: {Succeeded, Degraded, Failed, Cancelled, Lost},
		Succeeded:  nil, Degraded: nil, Failed: nil, Cancelled: nil, Lost: nil,
	}
}

// Allows reports whether to may follow from.
func (t Transitions) Allows(from, to Status) bool { return slices.Contains(t[from], to) }

// Final reports whether nothing follows s.
func (t Transitions) Final(s Status) bool { return len(t[s]) == 0 }
