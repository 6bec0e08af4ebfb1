package index

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// errStalled ends an attempt in which nothing happens any more.
var errStalled = errors.New("nothing happens any more")

// pulse tells whether an attempt still does something. Index runs may take hours, so
// what bounds them is not how long they take, but how long nothing happens in a stage.
type pulse struct {
	last  atomic.Int64 // Unix nanoseconds
	phase atomic.Int64
}

func (p *pulse) beat(now time.Time) { p.last.Store(now.UnixNano()) }

// beat says that the attempt does something.
func (a *attempt) beat() { a.pulse.beat(a.s.o.Now()) }

// alive gives a context that ends with errStalled when nothing happens for too long. stop
// must be called.
func (a *attempt) alive(ctx context.Context) (working context.Context, stop func()) {
	working, cancel := context.WithCancelCause(ctx)
	a.beat()
	limit := a.s.o.Stall
	var watching sync.WaitGroup
	watching.Go(func() {
		for sleep(working, limit/8) {
			if a.s.o.Now().Sub(time.Unix(0, a.pulse.last.Load())) > limit {
				cancel(errStalled)
			}
		}
	})
	return working, func() { cancel(nil); watching.Wait() }
}

// stallGrace is how long what hangs has to notice that its attempt has ended.
const stallGrace = 5 * time.Second

// ended gives the result of an attempt whose context has ended. What hangs in a system
// call (a share whose server is gone) does not notice that, and is left behind: it can
// write nothing any more once the attempt has ended.
func (a *attempt) ended(ctx context.Context, done <-chan Result) Result {
	if !errors.Is(context.Cause(ctx), errStalled) {
		return <-done // whoever ended it waits as long as it likes
	}
	grace := time.NewTimer(min(stallGrace, a.s.o.Stall))
	defer grace.Stop()
	select {
	case res := <-done:
		return res
	case <-grace.C:
		a.report.shutUp()
		a.s.o.Logger.ErrorContext(ctx, "an attempt to index hangs and was left behind", "node_run_id", a.req.NodeRunID, "attempt", a.req.Attempt)
		return Result{Outcome: Broken, Failure: a.stalled()}
	}
}

// stalled is the failure of an attempt that errStalled ended.
func (a *attempt) stalled() *Failure {
	doing := map[Phase]string{
		PhaseOpen: "the settings and the embedding model were opened", PhaseSync: "the source was synchronised", PhasePlan: "the plan was made",
		PhaseApply: "the plan was told", PhaseFiles: "files were indexed", PhaseSwap: "the index was made visible",
	}[Phase(a.pulse.phase.Load())]
	return &Failure{Code: CodeStalled, Retryable: true, Message: fmt.Sprintf("Nothing happened for %s while %s.", a.s.o.Stall, doing)}
}
