package gate

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"
)

// Times that Options may override.
const (
	defaultTry      = 5 * time.Second
	defaultProgress = 5 * time.Second
	firstPause      = 250 * time.Millisecond
	maxPause        = 4 * time.Second
)

// MaxEndpoints is how many endpoints one gate waits for at most.
const MaxEndpoints = 100

// Options say what to wait for.
type Options struct {
	Endpoints []string
	Timeout   time.Duration // for all of them together
	Try       time.Duration // for one try; 0: 5 s
	AnyHTTP   bool          // any HTTP status counts as ready, without a handshake
	Client    string        // version that the handshake names
	// Progress is told about the endpoints that are still missing, once every
	// Every (0: 5 s). It is never called concurrently.
	Progress func(left time.Duration, missing []Status)
	Every    time.Duration
	Now      func() time.Time
}

// Status is how one endpoint is doing.
type Status struct {
	Endpoint string // without a password
	Ready    bool
	Tries    int
	Took     time.Duration // until it was ready
	Server   string        // what a ready one says it is
	Reason   string        // why the last try failed; empty before the first has ended
}

// Report is what became of all endpoints, in the order in which they were given.
type Report []Status

// Missing are the endpoints that are not ready.
func (r Report) Missing() []Status {
	var missing []Status
	for _, s := range r {
		if !s.Ready {
			missing = append(missing, s)
		}
	}
	return missing
}

// board is what the tries of all endpoints write to.
type board struct {
	mu     sync.Mutex
	report Report
}

func (b *board) update(i int, change func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.report[i])
}

func (b *board) snapshot() Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(Report(nil), b.report...)
}

// ErrNotReady says that the deadline came first; the Report tells which endpoints
// are missing and why.
var ErrNotReady = errors.New("not every endpoint is ready")

// Wait tries all endpoints until each is ready or the time is up. The error is
// ErrNotReady, or that of a cancelled context.
func Wait(ctx context.Context, o Options) (Report, error) {
	o.complete()
	began := o.Now()
	deadline, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	b := &board{}
	for _, e := range o.Endpoints {
		b.report = append(b.report, Status{Endpoint: shown(e)})
	}
	var tries sync.WaitGroup
	for i, endpoint := range o.Endpoints {
		tries.Go(func() { o.await(deadline, b, i, endpoint, began) })
	}
	done := make(chan struct{})
	go func() {
		tries.Wait()
		close(done)
	}()
	o.watch(b, began, done)
	report := b.snapshot()
	switch {
	case len(report.Missing()) == 0:
		return report, nil
	case ctx.Err() != nil:
		return report, ctx.Err()
	default:
		return report, ErrNotReady
	}
}

func (o *Options) complete() {
	if o.Try <= 0 {
		o.Try = defaultTry
	}
	if o.Every <= 0 {
		o.Every = defaultProgress
	}
	if o.Progress == nil {
		o.Progress = func(time.Duration, []Status) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// watch reports progress until all tries have ended.
func (o *Options) watch(b *board, began time.Time, done <-chan struct{}) {
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if missing := b.snapshot().Missing(); len(missing) > 0 {
				o.Progress(max(o.Timeout-o.Now().Sub(began), 0), missing)
			}
		}
	}
}

// await tries one endpoint until it is ready or ctx ends.
func (o *Options) await(ctx context.Context, b *board, i int, endpoint string, began time.Time) {
	pause := firstPause
	for {
		server, err := o.try(ctx, endpoint)
		// A try that the deadline cut short says less than the one before it.
		cut := ctx.Err() != nil
		b.update(i, func(s *Status) {
			s.Tries++
			switch {
			case err == nil:
				s.Ready, s.Server, s.Reason, s.Took = true, server, "", o.Now().Sub(began)
			case !cut || s.Reason == "":
				s.Reason = reason(err, o.Try)
			}
		})
		if err == nil || cut {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(pause*2, maxPause)
	}
}

func (o *Options) try(ctx context.Context, endpoint string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Try)
	defer cancel()
	if o.AnyHTTP {
		return anyHTTP(ctx, endpoint)
	}
	return initialize(ctx, endpoint, o.Client)
}

// shown is an address without its password.
func shown(endpoint string) string {
	if u, err := url.Parse(endpoint); err == nil {
		return u.Redacted()
	}
	return endpoint
}
