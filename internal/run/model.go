package run

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// Run is a flowchart run as stored.
type Run = dbsqlc.FlowchartRun

// NodeRun is a node run as stored.
type NodeRun = dbsqlc.NodeRun

// Attempt is an attempt of a node run as stored.
type Attempt = dbsqlc.NodeAttempt

// Worker is the worker process that held an attempt.
type Worker struct {
	ID          uuid.UUID
	Hostname    string
	PID         int32
	Version     string
	StartedAt   time.Time
	StoppedAt   *time.Time // it ended on purpose
	TombstoneAt *time.Time // it was declared dead
}

// ErrSuperseded says that an attempt is no longer the one that may write: it was
// lost, ended or replaced. The late writer has nothing to do.
var ErrSuperseded = errors.New("attempt superseded")

// errNotClaimable says that a node run is not there to be claimed: somebody else
// has it, it ended, or its time has not come.
var errNotClaimable = errors.New("node run not claimable")

// Failure is the error of a run, node run or attempt, as people see it.
type Failure struct {
	Code      string          `json:"code"`
	Message   string          `json:"message"`
	Retryable bool            `json:"retryable"`
	Details   json.RawMessage `json:"details,omitempty"`
	NodeRunID int64           `json:"node_run_id,omitempty"` // of a run's error: the node run that caused it
	NodeID    string          `json:"node_id,omitempty"`
}

// Trigger is one token that an activation consumed.
type Trigger struct {
	EdgeID    string `json:"edge_id"`
	Source    string `json:"source"`
	NodeRunID int64  `json:"node_run_id"`
}

// Result is how an attempt ended.
type Result struct {
	Status             Status // Succeeded, Degraded, Failed, Cancelled or Lost
	Output             json.RawMessage
	Routing            json.RawMessage
	Error              *Failure // of Failed and Lost
	Usage              json.RawMessage
	Stages             json.RawMessage
	InputContext       json.RawMessage
	CurrentStage       *string
	StartedAt          *time.Time
	FirstTokenAt       *time.Time
	DispatchStatus     string
	Artifacts          []NewArtifact // kept however the attempt ended
	ProviderDispatchID *string
}

// Claim is the right to work one attempt of a node run.
type Claim struct {
	NodeRun  NodeRun
	Attempt  int32
	Worker   uuid.UUID
	Executor string

	Adopted    bool // an attempt in a pod that another worker had claimed
	Dispatched bool // of an adopted one: it was dispatched, or is about to be, for all that is known
}

// Ref names the claimed attempt and its holder.
func (c *Claim) Ref() Ref { return Ref{NodeRunID: c.NodeRun.ID, Attempt: c.Attempt, Worker: c.Worker} }

// CodeHandedOver is the failure of an attempt whose worker stopped on purpose. It
// is taken up by another one and not counted against the node.
const CodeHandedOver = "handed_over"

// CodeTimeout is the failure of an attempt that took longer than it may.
const CodeTimeout = "timeout"

// CodeUnconfirmed is the failure of an attempt whose holder did not confirm a
// cancel in time.
const CodeUnconfirmed = "cancel_unconfirmed"

// MaxLost is how often an attempt may die with its worker before the node fails:
// a node that kills its worker must not do so for ever.
const MaxLost = 3

// Limits that hold for every run, whatever its flowchart says.
const (
	hardMaxExecutions = 10_000
	maxControlPerTx   = 64
	maxReused         = hardMaxExecutions // node runs that one retry copies
)
