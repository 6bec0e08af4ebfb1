package peers

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmctl/studio/internal/peers/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

const (
	beatEvery  = 2 * time.Second
	doubtAfter = 5 * time.Second  // a worker that was silent for longer is asked whether it lives
	deadAfter  = 10 * time.Second // and gets no requests then, unless it answers
	// answerHolds is how long an answer counts: until the next one is due, and then some.
	answerHolds = 3 * beatEvery
	listFor     = time.Minute // but is listed, for people
	forgetAfter = time.Hour
	// lookAgain is the least time between two looks at the list that requests ask for.
	lookAgain  = 250 * time.Millisecond
	askTimeout = 2 * time.Second
	maxWorkers = 4096
	// maxSuspects bounds the silent workers that are looked for at the same time.
	maxSuspects = 16
)

// Worker is a web worker of any replica.
type Worker struct {
	Name      string
	Hostname  string
	PID       int
	Version   string
	Address   string // of its replica's internal listener; empty: it cannot be reached from elsewhere
	StartedAt time.Time
	Silent    time.Duration // since its last sign of life, when the list was read
}

// Alive tells whether the worker was heard of lately.
func (w Worker) Alive() bool { return w.Silent <= deadAfter }

// Registry is the list of web workers, with this one on it.
type Registry struct {
	db     *postgres.DB
	q      *dbsqlc.Queries
	self   Worker
	log    *slog.Logger
	known  atomic.Pointer[map[string]Worker]
	wanted chan chan struct{} // requests that wait for a list that is younger than they are
	// look asks a worker that was silent for long whether it lives; nil: nobody can.
	look    func(ctx context.Context, w Worker) verdict
	looking atomic.Bool

	mu       sync.Mutex
	answered map[string]time.Time                        // silent workers that were asked and live
	tied     map[string]map[*context.CancelFunc]struct{} // what ends when the worker falls silent
}

// verdict is what is found out about a silent worker.
type verdict struct {
	lives bool // it answers: it is only its signs of life that do not get through
	gone  bool // it is dead for certain
}

// NewRegistry makes a registry; self is this worker.
func NewRegistry(db *postgres.DB, self Worker, log *slog.Logger) *Registry {
	r := &Registry{
		db: db, q: dbsqlc.New(), self: self, log: log, wanted: make(chan chan struct{}), answered: map[string]time.Time{},
		tied: map[string]map[*context.CancelFunc]struct{}{},
	}
	r.known.Store(&map[string]Worker{})
	return r
}

// Name names the service.
func (*Registry) Name() string { return "web worker registry" }

// Run keeps this worker on the list until ctx ends. It is ready once it is on it: the
// first session may be asked for elsewhere a moment later.
func (r *Registry) Run(ctx context.Context, ready func()) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	ready()
	defer r.retire(ctx)
	var looks sync.WaitGroup
	defer looks.Wait()
	timer := time.NewTimer(beatEvery)
	defer timer.Stop()
	looked := time.Now()
	var waiting []chan struct{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-r.wanted:
			waiting = append(waiting, w)
			timer.Reset(max(0, lookAgain-time.Since(looked)))
			continue
		case <-timer.C:
		}
		looked = time.Now()
		if err := r.beat(ctx); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "the list of web workers cannot be renewed; the last one stays", "error", err)
		}
		for _, w := range waiting {
			close(w)
		}
		waiting = nil
		if suspects := r.suspects(); len(suspects) > 0 && r.looking.CompareAndSwap(false, true) {
			looks.Go(func() {
				defer r.looking.Store(false)
				r.lookFor(ctx, suspects)
			})
		}
		timer.Reset(beatEvery)
	}
}

// begin fails only when ctx ends: a worker that nobody knows of must not serve.
func (r *Registry) begin(ctx context.Context) error {
	for {
		err := r.beat(ctx)
		if err == nil {
			if err := r.q.Forget(ctx, r.db, forgetAfter.Seconds()); err != nil {
				r.log.WarnContext(ctx, "dead web workers stay on the list", "error", err)
			}
			return nil
		}
		r.log.WarnContext(ctx, "this web worker is not on the list yet, trying again", "error", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("enter the list of web workers: %w", err)
		case <-time.After(lookAgain):
		}
	}
}

func (r *Registry) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := r.q.Announce(ctx, r.db, dbsqlc.AnnounceParams{
		Name: r.self.Name, Hostname: r.self.Hostname, Pid: int32(r.self.PID), Version: r.self.Version, Address: r.self.Address,
	})
	if err != nil {
		return fmt.Errorf("renew entry: %w", err)
	}
	rows, err := r.q.Heard(ctx, r.db, dbsqlc.HeardParams{WithinSeconds: listFor.Seconds(), MaxRows: maxWorkers})
	if err != nil {
		return fmt.Errorf("read list: %w", err)
	}
	list := make(map[string]Worker, len(rows))
	for _, w := range rows {
		list[w.Name] = Worker{
			Name: w.Name, Hostname: w.Hostname, PID: int(w.Pid), Version: w.Version, Address: w.Address, StartedAt: w.StartedAt,
			Silent: time.Duration(w.SilentSeconds * float64(time.Second)),
		}
	}
	r.learn(list)
	return nil
}

// learn puts a list in place and lets go of those who wait for a silent worker.
func (r *Registry) learn(list map[string]Worker) {
	r.known.Store(&list)
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.answered {
		if w, ok := list[name]; !ok || w.Silent <= doubtAfter {
			delete(r.answered, name)
		}
	}
	for name, waiting := range r.tied {
		if w, ok := list[name]; ok && !r.aliveLocked(w) {
			for cancel := range waiting {
				(*cancel)()
			}
		}
	}
}

// alive tells whether a worker is thought to live: it was heard of, or it answers. A
// connection to it is not given up because a busy database is late with its entry.
func (r *Registry) alive(w Worker) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.aliveLocked(w)
}

func (r *Registry) aliveLocked(w Worker) bool {
	return w.Alive() || time.Since(r.answered[w.Name]) < answerHolds
}

// tie gives a context that also ends when the worker falls silent. release must be
// called.
func (r *Registry) tie(ctx context.Context, name string) (tied context.Context, release func()) {
	tied, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tied[name] == nil {
		r.tied[name] = map[*context.CancelFunc]struct{}{}
	}
	r.tied[name][&cancel] = struct{}{}
	return tied, func() {
		cancel()
		r.mu.Lock()
		defer r.mu.Unlock()
		if delete(r.tied[name], &cancel); len(r.tied[name]) == 0 {
			delete(r.tied, name)
		}
	}
}

// suspects are workers that may be dead. They are asked before they count as such.
func (r *Registry) suspects() []Worker {
	var out []Worker
	for _, w := range *r.known.Load() {
		if w.Silent > doubtAfter && r.look != nil && len(out) < maxSuspects {
			out = append(out, w)
		}
	}
	return out
}

// lookFor asks silent workers, and takes those off the list that are dead for certain.
// One that is taken off wrongly enters itself again with its next sign of life.
func (r *Registry) lookFor(ctx context.Context, suspects []Worker) {
	found := make([]verdict, len(suspects))
	var asking sync.WaitGroup
	for i, w := range suspects {
		asking.Go(func() {
			if found[i] = r.look(ctx, w); found[i].lives {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.answered[w.Name] = time.Now()
			}
		})
	}
	asking.Wait()
	var names []string
	for i, w := range suspects {
		if found[i].gone && !w.Alive() {
			names = append(names, w.Name)
		}
	}
	if len(names) == 0 {
		return
	}
	if err := Remove(ctx, r.db, names...); err != nil {
		r.log.WarnContext(ctx, "dead web workers stay on the list", "error", err, "workers", names)
		return
	}
	r.log.InfoContext(ctx, "dead web workers were taken off the list", "workers", names)
}

// Remove takes workers off the list whose end is known; a master knows that of its
// own.
func Remove(ctx context.Context, db *postgres.DB, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := dbsqlc.New().Remove(ctx, db, names); err != nil {
		return fmt.Errorf("take workers off the list: %w", err)
	}
	return nil
}

func (r *Registry) retire(ctx context.Context) {
	if err := Remove(context.WithoutCancel(ctx), r.db, r.self.Name); err != nil {
		r.log.WarnContext(ctx, "this web worker stays on the list until it is thought dead", "error", err)
	}
}

// List gives all workers that were heard of within the last minute, dead ones too.
func (r *Registry) List() []Worker {
	known := *r.known.Load()
	out := make([]Worker, 0, len(known))
	for _, w := range known {
		out = append(out, w)
	}
	return out
}

// silent tells whether a worker is on the list and thought dead.
func (r *Registry) silent(name string) bool {
	w, ok := (*r.known.Load())[name]
	return ok && !r.alive(w)
}

// Find gives a worker that is thought to live. For one that is not on the list it
// waits until the list has been read again.
func (r *Registry) Find(ctx context.Context, name string) (Worker, bool) {
	if w, ok := (*r.known.Load())[name]; ok {
		return w, r.alive(w)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	read := make(chan struct{})
	select {
	case r.wanted <- read:
	case <-ctx.Done():
		return Worker{}, false
	}
	select {
	case <-read:
	case <-ctx.Done():
	}
	w, ok := (*r.known.Load())[name]
	return w, ok && r.alive(w)
}
