package kubernetes

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
)

// Figures counts what this process asks of the cluster and how attempts start.
type Figures struct {
	mu       sync.Mutex
	requests map[string]uint64 // "<verb> <code>"
	ended    map[string]uint64 // by code
	starts   Distribution
	waiting  sets.Set[Ref] // dispatched, not started
	running  sets.Set[Ref]
}

// Distribution is a histogram: Counts has one more member than Bounds.
type Distribution struct {
	Bounds []float64
	Counts []uint64
	Sum    float64
}

// NewFigures makes empty figures.
func NewFigures() *Figures {
	bounds := []float64{.25, .5, 1, 2, 3, 5, 10, 20, 60, 120, 300}
	return &Figures{
		requests: map[string]uint64{}, ended: map[string]uint64{}, waiting: sets.New[Ref](), running: sets.New[Ref](),
		starts: Distribution{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)},
	}
}

// Requests gives the requests to the Kubernetes API by "<verb> <code>"; the code is
// "failed" where no answer came.
func (f *Figures) Requests() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.requests)
}

// Ended gives the attempts that ended here instead of by their pod, by code.
func (f *Figures) Ended() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.ended)
}

// Pods gives the held attempts by whether their pod has started.
func (f *Figures) Pods() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return map[string]uint64{"dispatched": uint64(f.waiting.Len()), "started": uint64(f.running.Len())}
}

// Starts gives how long attempts took from their dispatch to their start.
func (f *Figures) Starts() Distribution {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.starts
	d.Counts = slices.Clone(d.Counts)
	return d
}

func (f *Figures) hold(r Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting.Insert(r)
}

// started notes a start; took is negative for one that another process dispatched.
func (f *Figures) started(r Ref, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running.Has(r) {
		return
	}
	f.waiting.Delete(r)
	f.running.Insert(r)
	if took < 0 {
		return
	}
	i, _ := slices.BinarySearch(f.starts.Bounds, took.Seconds())
	f.starts.Counts[i]++
	f.starts.Sum += took.Seconds()
}

func (f *Figures) release(r Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting.Delete(r)
	f.running.Delete(r)
}

func (f *Figures) end(code string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended[code]++
}

// wrap counts what goes over a transport.
func (f *Figures) wrap(next http.RoundTripper) http.RoundTripper {
	return &counted{next: next, to: f}
}

type counted struct {
	next http.RoundTripper
	to   *Figures
}

// RoundTrip implements http.RoundTripper.
func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(r)
	code := "failed"
	if err == nil {
		code = strconv.Itoa(res.StatusCode)
	}
	c.to.mu.Lock()
	c.to.requests[verb(r)+" "+code]++
	c.to.mu.Unlock()
	return res, err
}

// verb is the request's in Kubernetes' terms, as far as they differ in cost.
func verb(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case q.Get("watch") != "":
		return "watch"
	case q.Get("follow") != "":
		return "follow"
	case r.Method == http.MethodGet && q.Get("limit") != "" || q.Get("resourceVersion") != "":
		return "list"
	}
	return map[string]string{"GET": "get", "POST": "create", "DELETE": "delete", "PATCH": "patch", "PUT": "update"}[r.Method]
}
