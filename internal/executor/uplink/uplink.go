package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
)

// Options wire an Uplink. URL, Token and PodUID are required.
type Options struct {
	URL    string // of the Studio's API, for example https://studio/api
	Token  string
	PodUID string
	Client *http.Client

	Every      time.Duration // how long an event waits for company; 100 ms
	BatchBytes int           // from which on a batch does not wait; 256 KiB
	Buffer     int           // bytes of events that may be unanswered; 16 MiB
	Ask        time.Duration // how often a silent attempt asks whether it is to stop; 10 s
	FirstPause time.Duration // between two tries, doubled from the first to the last: 100 ms
	LastPause  time.Duration // 15 s
	Patience   time.Duration // how long the result waits for an API that is away; 15 min

	Log func(text string) // told when the API goes away and comes back; nil
	Now func() time.Time
}

// Uplink reports one attempt. It is for one goroutine, but for Stop and Why.
type Uplink struct {
	o Options

	mu       sync.Mutex
	queue    []event
	bytes    int
	accepted int64 // number of the last event that is stored
	last     int64 // of the last event that was taken
	why      error
	isAway   bool
	closed   bool  // the result was given
	failed   error // what ended the sender; valid after done

	more   chan struct{} // something was queued
	room   chan struct{} // something was answered
	stop   chan struct{}
	halted sync.Once
	finish chan struct{} // send what is there without waiting, then end
	done   chan struct{} // the sender has ended; nil before the start
	cancel context.CancelFunc
}

type event struct {
	n    int64
	line []byte
}

// New checks the options.
func New(o Options) (*Uplink, error) {
	switch {
	case !strings.HasPrefix(o.URL, "http://") && !strings.HasPrefix(o.URL, "https://"):
		return nil, errs.Ef(errs.Invalid, "executor.api_url", "The address of the API is %q; give one that begins with http:// or https://.", o.URL)
	case o.Token == "":
		return nil, errs.E(errs.Invalid, "executor.token", "The token of the attempt is empty.")
	case o.PodUID == "":
		return nil, errs.E(errs.Invalid, "executor.pod_uid", "The id of the pod is empty.")
	}
	o.URL = strings.TrimRight(o.URL, "/")
	set(&o.Every, 100*time.Millisecond)
	set(&o.Ask, 10*time.Second)
	set(&o.FirstPause, 100*time.Millisecond)
	set(&o.LastPause, 15*time.Second)
	set(&o.Patience, 15*time.Minute)
	set(&o.BatchBytes, 256<<10)
	set(&o.Buffer, 16<<20)
	if o.Client == nil {
		o.Client = &http.Client{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Uplink{
		o: o, more: make(chan struct{}, 1), room: make(chan struct{}, 1), stop: make(chan struct{}), finish: make(chan struct{}),
	}, nil
}

func set[T int | time.Duration](v *T, fallback T) {
	if *v <= 0 {
		*v = fallback
	}
}

// Stop implements executor.Uplink.
func (u *Uplink) Stop() <-chan struct{} { return u.stop }

// Why implements executor.Uplink.
func (u *Uplink) Why() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.why
}

// halt has the work stop. A refusal counts more than an order to cancel.
func (u *Uplink) halt(why error) {
	u.mu.Lock()
	if u.why == nil || errors.Is(why, executor.ErrRefused) {
		u.why = why
	}
	u.mu.Unlock()
	u.halted.Do(func() { close(u.stop) })
}

// away and back tell people of the first failure and of the next success.
func (u *Uplink) away(err error) {
	u.mu.Lock()
	first := !u.isAway
	u.isAway = true
	u.mu.Unlock()
	if first && u.o.Log != nil {
		u.o.Log("the Studio does not answer, trying again until it does: " + err.Error())
	}
}

func (u *Uplink) back() {
	u.mu.Lock()
	was := u.isAway
	u.isAway = false
	u.mu.Unlock()
	if was && u.o.Log != nil {
		u.o.Log("the Studio answers again")
	}
}

// Payload implements executor.Uplink.
func (u *Uplink) Payload(ctx context.Context) (executor.Payload, error) {
	body, err := u.send(ctx, request{method: http.MethodGet, path: "/payload", limit: executor.MaxPayload, timeout: 2 * time.Minute})
	if err != nil {
		return executor.Payload{}, err
	}
	u.back()
	return executor.ReadPayload(bytes.NewReader(body))
}

// Start implements executor.Uplink. The sender runs from then on, until End.
func (u *Uplink) Start(ctx context.Context, started executor.Event) error {
	line, err := encode(started)
	if err != nil {
		return err
	}
	if err := u.post(ctx, []event{{started.N, line}}); err != nil {
		u.halt(err)
		return err
	}
	u.last, u.accepted, u.done = started.N, started.N, make(chan struct{})
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	u.cancel = cancel
	go u.run(sending)
	return nil
}

func encode(e executor.Event) ([]byte, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event %d: %w", e.N, err)
	}
	return append(line, '\n'), nil
}

// Report implements executor.Uplink.
func (u *Uplink) Report(ctx context.Context, e executor.Event) error {
	line, err := encode(e)
	if err != nil {
		return err
	}
	if len(line) >= executor.MaxLine {
		return fmt.Errorf("event of type %s has %d bytes", e.Type, len(line))
	}
	for {
		if took, err := u.enqueue(event{e.N, line}); took || err != nil {
			return err
		}
		select {
		case <-u.room:
		case <-u.stop:
			return u.Why()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// enqueue takes an event if there is room for it. One that is larger than all room
// goes alone.
func (u *Uplink) enqueue(e event) (bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false, errClosed
	}
	if u.bytes > 0 && u.bytes+len(e.line) > u.o.Buffer {
		return false, nil
	}
	u.queue = append(u.queue, e)
	u.bytes += len(e.line)
	u.last = e.n
	poke(u.more)
	return true, nil
}

var errClosed = errors.New("the attempt has its result already")

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
