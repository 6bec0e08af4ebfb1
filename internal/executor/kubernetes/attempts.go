package kubernetes

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/executor"
)

// ErrStale means that the holder's fence does not hold any more: the attempt has
// ended, or another worker has it.
var ErrStale = errors.New("the attempt is not this worker's any more")

// ErrStarted means that a pod has started the attempt: there is nothing to dispatch.
var ErrStarted = errors.New("a pod has started the attempt")

// The dispatch states of an attempt.
const (
	DispatchPending   = "dispatch_pending"
	DispatchSubmitted = "dispatch_submitted"
	DispatchConfirmed = "dispatch_confirmed"
	DispatchFailed    = "dispatch_failed"
)

// Ref is an attempt and who holds it: the fence of what a holder writes.
type Ref struct {
	NodeRunID int64
	Attempt   int32
	Worker    uuid.UUID
}

// State is what is known of an attempt.
type State struct {
	Ref
	Open            bool
	CancelRequested bool
	Uncertain       bool
	Dispatch        string
	DispatchID      string // kubernetes:<namespace>/<job>; "": nothing was begun
	PodUID          string // of the pod that may work it; "": none has asked
	BegunAt         time.Time
	StartedAt       *time.Time // when the API accepted the pod's start
	TimeoutSeconds  float64
}

// Attempts is where attempts are recorded.
type Attempts interface {
	// Begin stores dispatch_pending with the Job's name, the token's hash and what the pod
	// works with. Errors: ErrStale, ErrStarted.
	Begin(ctx context.Context, r Ref, dispatchID string, tokenHash, payload []byte) error
	// Submitted notes that the cluster has the Job. Like GiveUp, Uncertain and Note it
	// is fenced by r and gives ErrStale when that does not hold.
	Submitted(ctx context.Context, r Ref) error
	// GiveUp ends the attempt only if it has not started; false: it has, or had ended.
	GiveUp(ctx context.Context, r Ref, res executor.Result) (bool, error)
	// Uncertain notes that the cluster cannot be asked, or can be again.
	Uncertain(ctx context.Context, r Ref, uncertain bool) error
	// Note keeps a sentence about the pod for people; "" takes it away.
	Note(ctx context.Context, r Ref, note string) error
	// State gives what is known of the attempt now.
	State(ctx context.Context, nodeRunID int64, attempt int32) (State, error)
	// Open lists all open attempts of this installation that run in pods.
	Open(ctx context.Context) ([]State, error)
	// AppendPodLog keeps lines of the pod's output.
	AppendPodLog(ctx context.Context, r Ref, text string) error
	// PodLogEnd gives the last line that was kept and how many bytes all have.
	PodLogEnd(ctx context.Context, nodeRunID int64, attempt int32) (last string, size int, err error)
}

// dispatchID is how an attempt names its Job to people and to adopters.
func dispatchID(namespace, job string) string { return "kubernetes:" + namespace + "/" + job }

func parseDispatchID(id string) (namespace, job string, ok bool) {
	rest, ok := strings.CutPrefix(id, "kubernetes:")
	if !ok {
		return "", "", false
	}
	namespace, job, ok = strings.Cut(rest, "/")
	return namespace, job, ok && namespace != "" && job != ""
}
