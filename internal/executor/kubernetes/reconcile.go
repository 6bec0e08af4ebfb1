package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// orphanGrace is how long a Job may run without an open attempt: a pod whose result
// was just stored needs a moment to end by itself.
const orphanGrace = 20 * time.Second

// Reconciler brings cluster and attempts together again, in both directions. One
// process at a time runs it; several do no harm.
type Reconciler struct {
	e *Executor

	mu      sync.Mutex
	orphans map[string]time.Time // Jobs without an open attempt, since when
}

// NewReconciler makes a reconciler over e.
func NewReconciler(e *Executor) *Reconciler {
	return &Reconciler{e: e, orphans: map[string]time.Time{}}
}

// Reconcile deletes the Jobs of this installation that run without an open attempt,
// and settles what was uncertain; it returns how much that was. Attempts that nobody
// holds are the sweep's: whoever adopts one sees what became of its Job.
func (r *Reconciler) Reconcile(ctx context.Context) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.e.o.Settings(ctx)
	if err != nil {
		return 0, err
	}
	c, err := r.e.cluster(&s, identityKey(s.Identity))
	if err != nil {
		return 0, err
	}
	if err := c.synced(ctx); err != nil {
		return 0, err
	}
	// The Jobs first: one that was made since then has an attempt that was stored before.
	jobs := c.all()
	open, err := r.e.o.Attempts.Open(ctx)
	if err != nil {
		return 0, fmt.Errorf("list open attempts: %w", err)
	}
	deleted, err := r.deleteOrphans(ctx, c, jobs, open)
	certain, errCertain := r.settle(ctx, open)
	return deleted + certain, errors.Join(err, errCertain)
}

func (r *Reconciler) deleteOrphans(ctx context.Context, c *cluster, jobs []*batchv1.Job, open []State) (int, error) {
	held := make(map[hintKey]bool, len(open))
	for _, st := range open {
		held[hintKey{st.NodeRunID, st.Attempt}] = true
	}
	now, seen, n := r.e.o.Now(), map[string]time.Time{}, 0
	var failures []error
	for _, j := range jobs {
		key, ok := keyOfJob(j)
		if !ok || held[key] || jobEnded(j) || j.DeletionTimestamp != nil {
			continue
		}
		since, known := r.orphans[string(j.UID)]
		if !known {
			since = now
		}
		seen[string(j.UID)] = since
		if now.Sub(since) < orphanGrace {
			continue
		}
		if err := c.removeJob(ctx, j.Name); err != nil {
			failures = append(failures, fmt.Errorf("delete Job %s: %w", j.Name, err))
			continue
		}
		r.e.o.Log.InfoContext(ctx, "deleted a Job without an open attempt", "job", j.Name)
		n++
	}
	r.orphans = seen
	return n, errors.Join(failures...)
}

// keyOfJob is the attempt that a Job says it is of.
func keyOfJob(j *batchv1.Job) (hintKey, bool) {
	id, err := strconv.ParseInt(j.Labels[labelNodeRun], 10, 64)
	number, errNumber := strconv.ParseInt(j.Labels[labelAttempt], 10, 32)
	return hintKey{id, int32(number)}, err == nil && errNumber == nil
}

// settle takes uncertainty back where the cluster can be asked again: what the holder
// finds out then is for the holder.
func (r *Reconciler) settle(ctx context.Context, open []State) (int, error) {
	n := 0
	var failures []error
	for _, st := range open {
		if !st.Uncertain {
			continue
		}
		err := r.e.o.Attempts.Uncertain(ctx, st.Ref, false)
		switch {
		case err == nil:
			n++
		case !errors.Is(err, ErrStale):
			failures = append(failures, err)
		}
	}
	return n, errors.Join(failures...)
}
