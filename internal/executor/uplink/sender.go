package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/llmctl/studio/internal/executor"
)

// run sends what is queued until nothing is left after End, or until an answer is
// final. ctx does not end with the work: what happened is to be told.
func (u *Uplink) run(ctx context.Context) {
	defer close(u.done)
	for u.wait() {
		batch := u.batch()
		if err := u.post(ctx, batch); err != nil {
			u.failed = err
			u.halt(err)
			return
		}
		u.drop(len(batch))
	}
}

// wait returns true when there is something to send, or it is time to ask; false when
// the end is wanted and nothing is left.
func (u *Uplink) wait() bool {
	ask := time.NewTimer(u.o.Ask)
	defer ask.Stop()
	for u.size() == 0 {
		select {
		case <-u.more:
		case <-ask.C:
			return true
		case <-u.finish:
			return u.size() > 0
		}
	}
	company := time.NewTimer(u.o.Every)
	defer company.Stop()
	for u.size() < u.o.BatchBytes {
		select {
		case <-u.more:
		case <-company.C:
			return true
		case <-u.finish:
			return true
		}
	}
	return true
}

func (u *Uplink) size() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes
}

// batch gives the next events, one at least.
func (u *Uplink) batch() []event {
	u.mu.Lock()
	defer u.mu.Unlock()
	size := 0
	for i, e := range u.queue {
		if size += len(e.line); i > 0 && size > u.o.BatchBytes {
			return u.queue[:i:i]
		}
	}
	return slices.Clip(u.queue)
}

// drop forgets the first n events: they are stored.
func (u *Uplink) drop(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, e := range u.queue[:n] {
		u.bytes -= len(e.line)
		u.accepted = e.n
	}
	u.queue = append([]event(nil), u.queue[n:]...) // lets the memory go
	poke(u.room)
}

// post sends events until there is an answer.
func (u *Uplink) post(ctx context.Context, batch []event) error {
	var body bytes.Buffer
	for _, e := range batch {
		body.Write(e.line)
	}
	// Twenty seconds, and one for each 100 kB.
	timeout := 20*time.Second + time.Duration(body.Len()/100_000)*time.Second
	raw, err := u.send(ctx, request{
		method: http.MethodPost, path: "/events", mediaType: "application/x-ndjson", body: body.Bytes(), timeout: timeout,
	})
	if err != nil {
		return err
	}
	u.back()
	var answer struct {
		Cancel bool `json:"cancel"`
	}
	if json.Unmarshal(raw, &answer) == nil && answer.Cancel {
		u.halt(executor.ErrCancelled)
	}
	return nil
}

// End implements executor.Uplink.
func (u *Uplink) End(ctx context.Context, r executor.Result) error {
	if u.done == nil {
		return executor.ErrRefused // it was never allowed to start
	}
	ctx, cancel := context.WithTimeout(ctx, u.o.Patience)
	defer cancel()
	r, err := u.upload(ctx, r)
	if err != nil {
		return u.abandon(err)
	}
	u.finishWith(r)
	select {
	case <-u.done:
	case <-ctx.Done():
		u.cancel()
		<-u.done
	}
	return u.closing(ctx)
}

// finishWith queues the result as the last of all, whatever room there is.
func (u *Uplink) finishWith(r executor.Result) {
	u.mu.Lock()
	u.closed = true
	n := u.last + 1
	u.mu.Unlock()
	line := u.result(r, n)
	u.mu.Lock()
	u.queue = append(u.queue, event{n, line})
	u.bytes += len(line)
	u.mu.Unlock()
	close(u.finish)
}

// closing looks at how the sender ended. Where the Studio found fault with what was
// sent, it gets a result that says so, in place of what it does not take.
func (u *Uplink) closing(ctx context.Context) error {
	if u.size() == 0 {
		return nil
	}
	fault, ok := errors.AsType[*refusal](u.failed)
	if !ok {
		return u.failed
	}
	res := executor.Failure(executor.CodeInfra, fault.Error(), false)
	if fault.status == http.StatusRequestEntityTooLarge {
		res.Error.Code = executor.CodeTooLarge
	}
	n := u.accepted + 1
	return u.post(ctx, []event{{n, u.result(res, n)}})
}

// abandon ends the sender without a result.
func (u *Uplink) abandon(err error) error {
	u.cancel()
	<-u.done
	return err
}

// result is the last line; one that is too long is replaced by a failure.
func (u *Uplink) result(r executor.Result, n int64) []byte {
	e := executor.Event{V: executor.Version, N: n, TS: u.o.Now().UTC(), Type: executor.EventResult, Result: &r}
	line, err := encode(e)
	if err != nil || len(line) >= executor.MaxResult {
		small := executor.Failuref(executor.CodeTooLarge, false, "The result of the node is larger than %d MiB, or is not JSON.", executor.MaxResult>>20)
		e.Result = &small
		line, _ = encode(e) // made of numbers and texts
	}
	return line
}
