package download

import "slices"

// Status is the state of a job.
type Status = string

// The states of a job.
const (
	Queued      Status = "queued"
	Planning    Status = "planning" // what is on the disk already, and whether the rest fits
	Downloading Status = "downloading"
	Verifying   Status = "verifying" // the last checks, and the move into place
	Paused      Status = "paused"
	Cancelling  Status = "cancelling"
	Succeeded   Status = "succeeded"
	Failed      Status = "failed"
	Cancelled   Status = "cancelled"
)

// Transitions lists for each state those that may follow; a state that nothing
// follows is final.
type Transitions map[Status][]Status

// JobStates is the life of a job.
func JobStates() Transitions {
	return Transitions{
		Queued:      {Planning, Paused, Cancelled},
		Planning:    {Downloading, Verifying, Queued, Paused, Cancelling, Failed},
		Downloading: {Verifying, Queued, Paused, Cancelling, Failed},
		Verifying:   {Downloading, Queued, Paused, Cancelling, Succeeded, Failed},
		Paused:      {Queued, Cancelled},
		// What was in place before the order came stays there.
		Cancelling: {Succeeded, Failed, Cancelled},
		Succeeded:  nil, Failed: nil, Cancelled: nil,
	}
}

// Allows reports whether to may follow from.
func (t Transitions) Allows(from, to Status) bool { return slices.Contains(t[from], to) }

// Final reports whether nothing follows a state.
func (t Transitions) Final(s Status) bool { return len(t[s]) == 0 }

// AttemptStates are the states of an attempt.
func AttemptStates() []string {
	return []string{"running", "succeeded", "failed", "cancelled", "paused", "handed_over", "lost"}
}
