package queue

import (
	"slices"
	"sync"
	"time"
)

// slots is the one limit of a process on the jobs that it works at a time, over
// all its queues. They are granted before jobs are fetched, so that a process
// never holds a job that it has no slot for, and fairly: a slot goes to the queue
// that waits for one and holds least for its weight; between equals, to the one
// that was granted least.
//
// Granting what is free to whoever waits keeps all slots busy. But nothing that
// runs is ever interrupted, so queues whose work takes hours could come to hold
// all slots; their ceilings keep some for the others.
type slots struct {
	mu      sync.Mutex
	free    int
	shares  map[string]*share
	waiting []*waiter
	held    map[int64]*share // by job
	closed  bool
	now     func() time.Time
	// patient are the queues of long work; together they leave one slot to the others.
	patient, patientCap int
}

// share is what one queue has of the slots.
type share struct {
	weight  float64
	ceiling int     // most slots at a time
	patient bool    // its work takes long
	held    int     // slots now, those of a fetch that is under way included
	served  float64 // grants so far by weight, counted on from the least served after it was empty
	empty   bool    // the last fetch found fewer jobs than it had slots for
}

// waiter is a fetch that waits for slots.
type waiter struct {
	share   *share
	most    int
	since   time.Time
	granted chan int // buffered; 0 when the slots were closed
}

// newSlots shares n slots among queues.
func newSlots(n int, queues []string, weights map[string]int, now func() time.Time) *slots {
	s := &slots{free: n, shares: map[string]*share{}, held: map[int64]*share{}, now: now, patientCap: n}
	others := slices.Contains(queues, Default)
	if others {
		s.patientCap = max(n-1, 1)
	}
	for _, q := range queues {
		sh := &share{weight: float64(max(weights[q], 1)), ceiling: n, patient: q != Default, empty: true}
		if sh.patient && len(queues) > 1 {
			sh.ceiling = max(n/2, 1)
		}
		s.shares[q] = sh
	}
	return s
}

// reserve waits for at least one slot for a queue and gives how many it got, at
// most most; 0 when there will be none any more. What is not used goes back with
// settle.
func (s *slots) reserve(queue string, most int) (n int, waited time.Duration) {
	s.mu.Lock()
	sh := s.shares[queue]
	if s.closed || sh == nil || most <= 0 {
		s.mu.Unlock()
		return 0, 0
	}
	w := &waiter{share: sh, most: most, since: s.now(), granted: make(chan int, 1)}
	s.enter(sh)
	s.waiting = append(s.waiting, w)
	s.grant()
	s.mu.Unlock()
	n = <-w.granted
	return n, s.now().Sub(w.since)
}

// enter lets a queue that was found empty begin where the least served of the others
// is: it saved up no claim.
func (s *slots) enter(sh *share) {
	if !sh.empty {
		return
	}
	sh.empty = false
	least, found := 0.0, false
	for _, other := range s.shares {
		if other != sh && !other.empty && (!found || other.served < least) {
			least, found = other.served, true
		}
	}
	if found {
		sh.served = max(sh.served, least)
	}
}

// grant gives out what is free, one slot at a time.
func (s *slots) grant() {
	grants := map[*waiter]int{}
	for s.free > 0 {
		w := s.neediest(grants)
		if w == nil {
			break
		}
		grants[w]++
		s.free--
		s.take(w.share, 1)
		w.share.served += 1 / w.share.weight
	}
	for w, n := range grants {
		s.waiting = slices.DeleteFunc(s.waiting, func(other *waiter) bool { return other == w })
		w.granted <- n
	}
}

// neediest is the waiter that the next slot is for; nil: none may have it.
func (s *slots) neediest(grants map[*waiter]int) *waiter {
	var best *waiter
	for _, w := range s.waiting {
		sh := w.share
		if grants[w] == w.most || sh.held >= sh.ceiling || (sh.patient && s.patient >= s.patientCap) {
			continue
		}
		if best == nil || sh.before(best.share) {
			best = w
		}
	}
	return best
}

func (sh *share) before(other *share) bool {
	mine, theirs := float64(sh.held)/sh.weight, float64(other.held)/other.weight
	if mine != theirs {
		return mine < theirs
	}
	return sh.served < other.served
}

func (s *slots) take(sh *share, n int) {
	sh.held += n
	if sh.patient {
		s.patient += n
	}
}

// settle ends a reservation of n slots: those of the jobs that were fetched stay
// until release, the others are free.
func (s *slots) settle(queue string, n int, jobs []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shares[queue]
	for _, id := range jobs {
		s.held[id] = sh
	}
	unused := n - len(jobs)
	s.take(sh, -unused)
	sh.served -= float64(unused) / sh.weight
	sh.empty = unused > 0
	s.free += unused
	s.grant()
}

// release frees the slot of a job; a second time does nothing.
func (s *slots) release(job int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, ok := s.held[job]
	if !ok {
		return
	}
	delete(s.held, job)
	s.take(sh, -1)
	s.free++
	s.grant()
}

// close ends all waiting, for good.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, w := range s.waiting {
		w.granted <- 0
	}
	s.waiting = nil
}

func (s *slots) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// contended reports whether another queue has waited for a slot for some time.
func (s *slots) contended(queue string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiting {
		if w.share != s.shares[queue] && s.now().Sub(w.since) > contendedAfter {
			return true
		}
	}
	return false
}

// busy is how many slots are held by jobs.
func (s *slots) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// contendedAfter is how long a queue waits for a slot before chains of work make
// way. A fetch of a queue that is empty waits as well, for nothing.
const contendedAfter = 100 * time.Millisecond
