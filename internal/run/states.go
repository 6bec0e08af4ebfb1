package run

import (
	"fmt"
	"slices"
)

// Status is the state of a run, a node run or an attempt.
type Status = string

// The states; which of them a run, a node run or an attempt can be in is in the
// tables below.
const (
	Queued     Status = "queued"
	Pending    Status = "pending" // a node run that waits: for its run's max_parallel_nodes, or for the end of a pause
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
	Lost       Status = "lost"      // an attempt whose worker died
	Suspended  Status = "suspended" // an attempt that ended because its node waits for a person
)

// Transitions lists for each state the states that may follow; a state that
// nothing follows is final.
type Transitions map[Status][]Status

// FlowchartRuns is the life of a flowchart run.
func FlowchartRuns() Transitions {
	return Transitions{
		Queued:     {Running, Pausing, Paused, Cancelling, Succeeded, Failed, Cancelled},
		Running:    {Pausing, Paused, Cancelling, Succeeded, Failed, Cancelled},
		Pausing:    {Paused, Running, Cancelling, Succeeded, Failed, Cancelled}, // ended: its last node had no successor
		Paused:     {Queued, Running, Cancelling, Succeeded, Failed, Cancelled}, // ended: what was held was cancelled singly
		Cancelling: {Failed, Cancelled},
		Succeeded:  nil, Failed: nil, Cancelled: nil,
	}
}

// NodeRuns is the life of a node run.
func NodeRuns() Transitions {
	return Transitions{
		Pending:    {Queued, Cancelled},
		Queued:     {Pending, Running, Succeeded, Failed, Cancelled}, // ended without running: a control node
		Running:    {Pending, Queued, Waiting, Cancelling, Succeeded, Degraded, Failed, Cancelled},
		Waiting:    {Pending, Queued, Running, Cancelled, Failed},
		Cancelling: {Succeeded, Degraded, Failed, Cancelled},
		Succeeded:  nil, Degraded: nil, Failed: nil, Cancelled: nil, Skipped: nil,
	}
}

// Attempts is the life of an attempt.
func Attempts() Transitions {
	return Transitions{
		Running:    {Cancelling, Succeeded, Degraded, Failed, Cancelled, Lost, Suspended},
		Cancelling: {Succeeded, Degraded, Failed, Cancelled, Lost, Suspended},
		Succeeded:  nil, Degraded: nil, Failed: nil, Cancelled: nil, Lost: nil, Suspended: nil,
	}
}

// Allows reports whether to may follow from.
func (t Transitions) Allows(from, to Status) bool { return slices.Contains(t[from], to) }

// check refuses a step that the table does not have.
func (t Transitions) check(what string, id int64, from, to Status) error {
	if from == to || t.Allows(from, to) {
		return nil
	}
	return fmt.Errorf("%s %d cannot go from %s to %s", what, id, from, to)
}

// move changes a node run's state by the table.
func move(n *NodeRun, to Status) error {
	if err := NodeRuns().check("node run", n.ID, n.Status, to); err != nil {
		return err
	}
	n.Status = to
	return nil
}
