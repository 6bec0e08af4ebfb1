package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ErrRefused says that nothing of an attempt is taken any more: it has ended, was
// given up, or another pod works it. The work is to end at once, without a trace.
var ErrRefused = errors.New("the attempt is not this pod's")

// Uplink is the way from a pod to whoever stores what its attempt reports.
type Uplink interface {
	// Payload fetches what the attempt is to work with. Error: ErrRefused, or what is
	// wrong with it.
	Payload(ctx context.Context) (Payload, error)
	// Start asks whether the work may begin, and returns once it may, is refused
	// (ErrRefused) or ctx ends.
	Start(ctx context.Context, started Event) error
	// Report takes an event after the start; it waits while too many are under way.
	Report(ctx context.Context, e Event) error
	// Stop is closed when the work is to stop; Why says why then: ErrCancelled,
	// ErrRefused, or what is wrong with what was reported.
	Stop() <-chan struct{}
	Why() error
	// End reports the result after all else, and returns when it is stored, or never
	// will be.
	End(ctx context.Context, r Result) error
}

// PodOptions are what the executor command hands to RunPod.
type PodOptions struct {
	Payload     func(ctx context.Context) (Payload, error)
	Uplink      Uplink
	Runner      Runner
	Log         io.Writer // for people; secrets are masked
	Secrets     []string  // beside those of the payload, what must not be shown
	Termination string    // file that the cluster shows the end of; ""
	Now         func() time.Time
}

// RunPod is the body of the executor command in a pod: it reads the payload, runs it
// once it was told that it may, reports what happens, and gives the exit code. It
// ends the attempt on SIGTERM and when it is told to; that nobody answers is no
// reason. It is RunChild's sister: every process that the attempt started is gone
// before the result is reported. It changes attributes of the whole process, which
// may be the first one of its namespace.
func RunPod(ctx context.Context, o PodOptions) int {
	offerMemory()
	hardenProcess()
	defer killDescendants(2 * time.Second)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	reap, stopReaping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReaping()
	go reapOrphans(reap)

	pod := &pod{o: o, log: NewTalk(o.Log, o.Now, o.Secrets)}
	code, res := pod.run(ctx)
	pod.terminate(res)
	return code
}

type pod struct {
	o   PodOptions
	log *Talk
}

func (d *pod) run(ctx context.Context) (int, Result) {
	p, err := d.o.Payload(ctx)
	if err == nil {
		err = p.Validate()
	}
	switch {
	case errors.Is(err, ErrRefused):
		return d.refused(err)
	case err != nil && ctx.Err() != nil:
		return ExitCancelled, Result{Status: Cancelled}
	case err != nil:
		return d.badPayload(ctx, err)
	}
	d.log.Mask(p.Secrets)
	d.log.Line("", fmt.Sprintf("node run %d, attempt %d, kind %s", p.NodeRunID, p.Attempt, p.Kind))
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-d.o.Uplink.Stop():
			cancel(d.o.Uplink.Why())
		case <-ended:
		}
	}()
	res := d.work(work, p)
	killDescendants(2 * time.Second)
	return d.end(context.WithoutCancel(ctx), res)
}

// work runs the attempt and bounds how long it may take to stop.
func (d *pod) work(ctx context.Context, p Payload) Result {
	done := make(chan Result, 1)
	go func() { done <- Run(ctx, p, func(e Event) error { return d.sink(ctx, e) }, d.o.Runner, d.o.Now) }()
	select {
	case res := <-done:
		return res
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), ErrRefused) {
		killDescendants(2 * time.Second) // another may be at it: there is no grace
		return Result{Status: Cancelled}
	}
	grace := time.NewTimer(GraceOf(p) + time.Second)
	defer grace.Stop()
	select {
	case res := <-done:
		return res
	case <-grace.C:
		res, _ := Ended(ctx)
		return res
	}
}

func (d *pod) sink(ctx context.Context, e Event) error {
	switch e.Type {
	case EventStarted:
		return d.o.Uplink.Start(ctx, e)
	case EventLog:
		d.log.Line(e.Stage, e.Text)
	case EventStage:
		d.log.Line(e.Stage, e.Status)
	case EventTool, EventUsage, EventDelta, EventSpan, EventResult:
	}
	return d.o.Uplink.Report(ctx, e)
}

// end reports the result, unless nobody wants it.
func (d *pod) end(ctx context.Context, res Result) (int, Result) {
	switch why := d.o.Uplink.Why(); {
	case errors.Is(why, ErrRefused):
		return d.refused(why)
	case why != nil && !errors.Is(why, ErrCancelled):
		res = Failure(CodeInfra, why.Error(), false)
	}
	if err := d.o.Uplink.End(ctx, res); err != nil {
		if errors.Is(err, ErrRefused) {
			return d.refused(err)
		}
		d.log.Line("", "the result could not be reported: "+err.Error())
		return ExitFailed, res
	}
	d.log.Line("", "ended: "+string(res.Status))
	if res.Error != nil {
		d.log.Line("", res.Error.Error())
	}
	return ExitCode(res.Status), res
}

// refused is the end of a pod that has nothing to report.
func (d *pod) refused(err error) (int, Result) {
	d.log.Line("", err.Error())
	return ExitCancelled, Result{Status: Cancelled, Error: &ResultError{Code: "refused", Message: err.Error()}}
}

// badPayload reports an attempt that cannot even begin.
func (d *pod) badPayload(ctx context.Context, err error) (int, Result) {
	d.log.Line("", err.Error())
	res := Failure("bad_payload", err.Error(), false)
	started := Event{V: Version, N: 1, TS: d.o.Now().UTC(), Type: EventStarted}
	if d.o.Uplink.Start(ctx, started) == nil {
		_ = d.o.Uplink.End(context.WithoutCancel(ctx), res) // the exit code says it, too
	}
	return ExitBadPayload, res
}

// terminate leaves a word about the end where the cluster shows it.
func (d *pod) terminate(res Result) {
	if d.o.Termination == "" {
		return
	}
	word := struct {
		Status  Status `json:"status"`
		Code    string `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
		SHA256  string `json:"result_sha256"`
	}{Status: res.Status}
	if res.Error != nil {
		word.Code, word.Message = res.Error.Code, d.log.masked(cut(res.Error.Message, 1024))
	}
	sum := sha256.Sum256(res.OutputState)
	word.SHA256 = hex.EncodeToString(sum[:])
	raw, err := json.Marshal(word)
	if err != nil {
		return
	}
	// The cluster made the file; where it did not, nobody looks.
	f, err := os.OpenFile(d.o.Termination, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	_, _ = f.Write(raw)
}
