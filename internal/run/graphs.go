package run

import (
	"context"
	"fmt"
	"sync"

	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
)

// graphCache keeps compiled graphs of versions, which never change. It is a
// speed-up only: any process can compile any version at any time.
type graphCache struct {
	mu     sync.Mutex
	graphs map[int64]*flowchart.Compiled
}

// maxGraphs bounds the cache; when it is full, it starts anew.
const maxGraphs = 256

func newGraphCache() *graphCache { return &graphCache{graphs: map[int64]*flowchart.Compiled{}} }

func (g *graphCache) get(version int64) (*flowchart.Compiled, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.graphs[version]
	return c, ok
}

func (g *graphCache) compile(version int64, raw []byte) (*flowchart.Compiled, error) {
	if c, ok := g.get(version); ok {
		return c, nil
	}
	graph, err := flowchart.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("parse graph of version %d: %w", version, err)
	}
	c, err := flowchart.Compile(graph)
	if err != nil {
		return nil, fmt.Errorf("compile graph of version %d: %w", version, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.graphs) >= maxGraphs {
		clear(g.graphs)
	}
	g.graphs[version] = c
	return c, nil
}

func (e *Engine) compiled(ctx context.Context, q postgres.Querier, version int64) (*flowchart.Compiled, error) {
	if c, ok := e.graphs.get(version); ok {
		return c, nil
	}
	v, err := e.q.GetVersion(ctx, q, version)
	if err != nil {
		return nil, fmt.Errorf("load version %d: %w", version, err)
	}
	return e.graphs.compile(version, v.Graph)
}
