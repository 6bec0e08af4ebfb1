package chat

import "slices"

// Status is the state of a turn.
type Status = string

// The states of a turn.
const (
	Queued     Status = "queued"
	Running    Status = "running"
	Waiting    Status = "waiting" // for somebody's approval; it holds no worker
	Cancelling Status = "cancelling"
	Succeeded  Status = "succeeded"
	Failed     Status = "failed"
	Cancelled  Status = "cancelled"
)

// Transitions lists for each state those that may follow; a state that nothing
// follows is final.
type Transitions map[Status][]Status

// TurnStates is the life of a turn.
func TurnStates() Transitions {
	return Transitions{
		Queued:     {Running, Cancelled, Failed},
		Running:    {Queued, Waiting, Cancelling, Succeeded, Failed},
		Waiting:    {Queued, Cancelled, Failed},
		Cancelling: {Succeeded, Failed, Cancelled},
		Succeeded:  nil, Failed: nil, Cancelled: nil,
	}
}

// Allows reports whether to may follow from.
func (t Transitions) Allows(from, to Status) bool { return slices.Contains(t[from], to) }

// Final reports whether nothing follows a state.
func (t Transitions) Final(s Status) bool { return len(t[s]) == 0 }

// How an attempt ends.
const (
	attemptSucceeded  = "succeeded"
	attemptFailed     = "failed"
	attemptCancelled  = "cancelled"
	attemptSuspended  = "suspended"
	attemptHandedOver = "handed_over"
	attemptLost       = "lost"
)

// The states of a message.
const (
	messagePending  = "pending"  // its turn has not ended
	messageComplete = "complete" // as it was sent, or as the model ended it
	messagePartial  = "partial"  // cut short: cancelled, or failed in the middle
	messageFailed   = "failed"   // no answer came
)

// Who speaks in a message.
const (
	roleUser      = "user"
	roleAssistant = "assistant"
)

// What makes a turn.
const (
	kindMessage    = "message"    // goes on at the end
	kindEdit       = "edit"       // replaces a message, beside it
	kindBranch     = "branch"     // goes on somewhere else than at the end
	kindRegenerate = "regenerate" // another answer to the same message
)

// What a running turn does.
const (
	PhaseRetrieving = "retrieving"
	PhaseCompacting = "compacting"
	PhaseAnswering  = "answering"
)

// Why a turn failed.
const (
	CodeSelectorOverride = "CHAT_SESSION_SCOPE_SELECTOR_OVERRIDE"
	CodeRAGUnavailable   = "RAG_UNAVAILABLE_FOR_SELECTED_COLLECTIONS"
	CodeRAGFailed        = "RAG_RETRIEVAL_EXECUTION_FAILED"
	CodeMCPFailed        = "CHAT_MCP_EXECUTION_FAILED"
	CodeModelFailed      = "CHAT_MODEL_EXECUTION_FAILED"
	CodeNoModel          = "CHAT_MODEL_NOT_CONFIGURED"
	CodeContextExceeded  = "CHAT_CONTEXT_EXCEEDED"
	CodeTimeout          = "CHAT_TURN_TIMEOUT"
	CodeWorkerLost       = "CHAT_WORKER_LOST"
	CodeCancelled        = "CHAT_TURN_CANCELLED"
)
