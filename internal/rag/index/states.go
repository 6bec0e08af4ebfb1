package index

// The states of an index run; the last three are final.
const (
	Queued    = "queued"
	Syncing   = "syncing"
	Planning  = "planning"
	Planned   = "planned" // it waits until somebody applies the plan
	Indexing  = "indexing"
	Paused    = "paused"
	Succeeded = "succeeded"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// Statuses lists them.
func Statuses() []string {
	return []string{Queued, Syncing, Planning, Planned, Indexing, Paused, Succeeded, Failed, Cancelled}
}

// What the journal says of a file.
const (
	actionAdd    = "add"
	actionChange = "change"
	actionRemove = "remove"
)

// kindBinary is the kind of a file that nothing reads. Its row keeps the next run from
// reading it again; it has no chunks and is not counted.
const kindBinary = "binary"

// Phase is a part of an attempt.
type Phase int

// The phases, in their order.
const (
	PhaseOpen  Phase = iota // settings, embedder, the rows of the runs
	PhaseSync               // the sources are brought here
	PhasePlan               // what was left behind is removed; add, change, remove, keep
	PhaseApply              // the plan is told; it may wait for a person
	PhaseFiles              // the files
	PhaseSwap               // what was written becomes the visible revision
)

// Reporter is told how an attempt goes. Its methods are not called at the same time.
type Reporter interface {
	Enter(p Phase) error
	Log(text string) error
}
