package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/llmctl/studio/internal/auth"
)

// effect is what a call does to the world, for the hints of a tool.
type effect int

const (
	reads    effect = iota // changes nothing
	adds                   // makes something new
	changes                // overwrites; again with the same arguments changes nothing more
	executes               // runs what others drew: anything can happen
)

// spec is what a tool says of itself.
type spec struct {
	name, title string
	about       string // for a model: what it does, when to use it, what comes back
	permission  auth.Permission
	effect      effect
	waits       bool // may take longer than other calls
}

// tool is a tool of the server's own.
type tool struct {
	spec
	listed *mcp.Tool
	input  *jsonschema.Schema
	call   func(ctx context.Context, c *call, arguments json.RawMessage) (any, error)
}

type registry struct {
	limits limits
	tools  []*tool
	faults []string
}

// add registers a tool: its schemas come from the types of its input and output.
func add[In, Out any](r *registry, s spec, f func(ctx context.Context, c *call, in In) (Out, error)) {
	input, compiled, errIn := inputSchema[In](r.limits)
	output, errOut := outputSchema[Out]()
	if errIn != nil || errOut != nil {
		r.faults = append(r.faults, fmt.Sprintf("%s: %v, %v", s.name, errIn, errOut))
		return
	}
	r.tools = append(r.tools, &tool{
		spec: s, input: compiled,
		listed: &mcp.Tool{
			Name: s.name, Title: s.title, Description: s.about, InputSchema: input, OutputSchema: output, Annotations: hints(s.effect, s.title),
		},
		call: func(ctx context.Context, c *call, arguments json.RawMessage) (any, error) {
			var in In
			if err := json.Unmarshal(arguments, &in); err != nil {
				return nil, unreadable(err)
			}
			return f(ctx, c, in)
		},
	})
}

func hints(e effect, title string) *mcp.ToolAnnotations {
	yes, no := true, false
	a := &mcp.ToolAnnotations{Title: title, OpenWorldHint: &no, DestructiveHint: &no}
	switch e {
	case reads:
		a.ReadOnlyHint, a.IdempotentHint = true, true
	case adds:
	case changes:
		a.DestructiveHint, a.IdempotentHint = &yes, true
	case executes:
		a.DestructiveHint, a.OpenWorldHint = &yes, &yes
	}
	return a
}

// done gives the tools by name.
func (r *registry) done() ([]*tool, error) {
	slices.SortFunc(r.tools, func(a, b *tool) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(r.tools); i++ {
		if r.tools[i].name == r.tools[i-1].name {
			r.faults = append(r.faults, r.tools[i].name+" is registered twice")
		}
	}
	if len(r.faults) > 0 {
		return nil, fmt.Errorf("register tools: %s", strings.Join(r.faults, "; "))
	}
	return r.tools, nil
}

// find gives the server's own tool of that name, or nil.
func (s *Server) find(name string) *tool {
	i, ok := slices.BinarySearchFunc(s.tools, name, func(t *tool, name string) int { return strings.Compare(t.name, name) })
	if !ok {
		return nil
	}
	return s.tools[i]
}
