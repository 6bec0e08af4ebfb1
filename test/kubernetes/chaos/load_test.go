package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

// size is how much work there is, and how fast it comes.
type size struct {
	runs     int
	every    time.Duration // between two starts
	deadline time.Duration // for all runs to end after the last start
	// outages is how often the API server is killed at most. Controllers and kubelet wait
	// longer after each one, up to half a minute: more would only test their patience.
	outages int
}

func chaosSize() size {
	if os.Getenv("LLMCTL_TEST_CHAOS") == "full" {
		return size{runs: 100, every: time.Second, deadline: 6 * time.Minute, outages: 5}
	}
	return size{runs: 30, every: time.Second, deadline: 3 * time.Minute, outages: 2}
}

// ledger is a server beside the cluster that counts what nodes do: whoever works a node
// twice is there twice.
type ledger struct {
	address string

	mu   sync.Mutex
	seen map[string]int // "<node>/<run>"
}

// newLedger answers each node after a moment, so that pods are at work when they are harmed.
func newLedger(t *testing.T, c *kubetest.Cluster) *ledger {
	t.Helper()
	l := &ledger{seen: map[string]int{}}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(c.HostAddress(t), "0"))
	require.NoError(t, err)
	l.address = ln.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{node}/{run}/{value}", l.enter)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return l
}

// enter notes a node and answers one more than the value it came with.
func (l *ledger) enter(w http.ResponseWriter, r *http.Request) {
	value, err := strconv.Atoi(r.PathValue("value"))
	if err != nil {
		http.Error(w, "no number", http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	l.seen[r.PathValue("node")+"/"+r.PathValue("run")]++
	l.mu.Unlock()
	select {
	case <-time.After(time.Duration(500+value%5*700) * time.Millisecond):
	case <-r.Context().Done():
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"value": %d}`, value+1)
}

func (l *ledger) entries() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.seen)
}

// The first node of the graph is an http node, the second a script; both tell the ledger. The
// second one's number is the run's own plus two.
const graph = `{"nodes":[
	{"id":"start","kind":"start","title":"Start","position":{"x":0,"y":0},"config":{}},
	{"id":"first","kind":"http","title":"First","position":{"x":200,"y":0},"config":{"method":"POST","url":"http://%[1]s/first/{{ run.id }}/{{ run.id }}"}},
	{"id":"second","kind":"script","title":"Second","position":{"x":400,"y":0},"config":{"shell":"sh",
		"script":"wget -q -O - --post-data= http://%[1]s/second/$RUN/$VALUE","env":{"RUN":"{{ run.id }}","VALUE":"{{ nodes.first.json.value }}"}}},
	{"id":"end","kind":"end","title":"End","position":{"x":600,"y":0},"config":{}}],
	"edges":[
	{"id":"e1","source":"start","target":"first","mode":"solid"},
	{"id":"e2","source":"first","target":"second","mode":"solid"},
	{"id":"e3","source":"second","target":"end","mode":"solid"}]}`

// flowchart stores the graph and gives its number.
func (s *studio) flowchart(l *ledger) int64 {
	s.t.Helper()
	var chart struct {
		ID int64 `json:"id"`
	}
	s.call(http.StatusCreated, http.MethodPost, "/api/flowcharts", map[string]any{"name": "chaos"}, &chart)
	var stored struct {
		Validation struct {
			Valid bool `json:"valid"`
		} `json:"validation"`
	}
	s.call(http.StatusOK, http.MethodPut, fmt.Sprintf("/api/flowcharts/%d/graph", chart.ID), json.RawMessage(fmt.Sprintf(graph, l.address)), &stored)
	require.True(s.t, stored.Validation.Valid)
	return chart.ID
}

// load starts runs evenly and gives those that were accepted. It does not fail the test
// by itself: it runs beside it.
func (s *studio) load(ctx context.Context, chart int64, z size) ([]int64, error) {
	ticker := time.NewTicker(z.every)
	defer ticker.Stop()
	accepted := make([]int64, 0, z.runs)
	for i := range z.runs {
		select {
		case <-ctx.Done():
			return accepted, ctx.Err()
		case <-ticker.C:
		}
		id, err := s.submit(ctx, chart, i)
		if err != nil {
			return accepted, err
		}
		accepted = append(accepted, id)
	}
	return accepted, nil
}

// submit starts run number i. It asks again, with the same key, until there is an
// answer: that is what a client does whose connection broke.
func (s *studio) submit(ctx context.Context, chart int64, i int) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		status, raw, err := s.try(ctx, http.MethodPost, fmt.Sprintf("/api/flowcharts/%d/runs", chart), map[string]any{}, fmt.Sprintf("chaos-%d", i))
		switch {
		case err == nil && status == http.StatusAccepted:
			var started struct {
				Run struct {
					ID int64 `json:"id"`
				} `json:"flowchart_run"`
			}
			err := json.Unmarshal(raw, &started)
			return started.Run.ID, err
		case err == nil && status < http.StatusInternalServerError && status != http.StatusConflict:
			return 0, fmt.Errorf("start of run %d: status %d: %s", i, status, raw)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("start of run %d: no answer: %d %s %w", i, status, raw, err)
		case <-again.C:
		}
	}
}
