package client

import (
	"context"
	"time"
)

// Report is what a test of a server found.
type Report struct {
	Info  Info
	Tools []Tool
	// Listed is how long the list of tools took.
	Listed time.Duration
}

// Probe connects to a server anew, lists its tools and closes the connection again.
func (p *Pool) Probe(ctx context.Context, spec Spec) (Report, error) {
	var r Report
	if spec.Transport == Stdio {
		select {
		case p.programs <- struct{}{}:
			defer func() { <-p.programs }()
		case <-ctx.Done():
			return r, spec.explain(ctx, "initialize", ctx.Err())
		}
	}
	s := newSession(p, spec)
	defer s.shut()
	l, failed := s.dial(ctx)
	if failed != nil {
		return r, failed
	}
	s.keep(l)
	r.Info = l.info
	began := p.o.Now()
	tools, err := s.list(ctx, l)
	if err != nil {
		return r, err
	}
	r.Tools, r.Listed = tools, p.o.Now().Sub(began)
	return r, nil
}
