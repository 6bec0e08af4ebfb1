package flowchart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/llmctl/studio/internal/errs"
)

// MaxRenderedConfig bounds the rendered texts of one config together.
const MaxRenderedConfig = 4 << 20

// lazyNode holds the compiled texts of a node. They are made when the node first
// runs: most steps of a run touch a few nodes of the graph only.
type lazyNode struct {
	once sync.Once
	plan nodePlan
	err  error
}

type nodePlan struct {
	texts      map[string]*Template // by location
	conditions []condition
	fallback   string // the default edge of a decision
	uses       uses
}

type condition struct {
	edge string
	cond *Condition
}

// Decision is the outcome of a decision node, in the form of its output_state.
type Decision struct {
	MatchedEdgeIDs []string     `json:"matched_edge_ids"`
	Evaluations    []Evaluation `json:"evaluations"`
}

// Evaluation is the outcome of one condition.
type Evaluation struct {
	EdgeID     string `json:"edge_id"`
	Expression string `json:"expression"`
	Result     bool   `json:"result"`
}

// plan compiles a node's texts once.
func (c *Compiled) plan(nodeID string) (*nodePlan, error) {
	i, ok := c.index[nodeID]
	if !ok {
		return nil, errs.Ef(errs.Invalid, "flow.unknown_node", "The flowchart has no node %q.", nodeID)
	}
	n := &c.nodes[i]
	n.lazy.once.Do(func() { n.lazy.plan, n.lazy.err = planNode(n.node) })
	if n.lazy.err != nil {
		return nil, n.lazy.err
	}
	return &n.lazy.plan, nil
}

func planNode(n Node) (nodePlan, error) {
	p := nodePlan{texts: map[string]*Template{}}
	lang, err := newLanguage()
	if err != nil {
		return p, err
	}
	m, err := configMap(n.Config)
	if err != nil {
		return p, err
	}
	err = walkTexts(n.Kind, m, func(location, text string) (any, error) {
		t, err := lang.template(text)
		if err != nil {
			return nil, nodeIssue(n, location, err)
		}
		p.texts[location] = t
		p.uses.merge(t.uses)
		return text, nil
	})
	if err != nil || n.Kind != KindDecision {
		return p, err
	}
	cfg, err := DecodeDecision(n.Config)
	if err != nil {
		return p, err
	}
	p.fallback = cfg.DefaultEdgeID
	for i, cc := range cfg.Conditions {
		cond, err := lang.condition(cc.Expression)
		if err != nil {
			return p, nodeIssue(n, indexed("config.conditions", i), err)
		}
		p.conditions = append(p.conditions, condition{cc.EdgeID, cond})
		p.uses.merge(cond.expr.uses)
	}
	return p, nil
}

func nodeIssue(n Node, location string, err error) error {
	return errs.E(errs.Invalid, reasonOf(err), fmt.Sprintf("Node %q, %s: %s.", n.ID, location, err),
		errs.Detail{Location: location, Message: err.Error()})
}

// NodeRefs says which nodes' outputs the templates and conditions of a node
// read, so that the caller loads these and no others.
func (c *Compiled) NodeRefs(nodeID string) (Refs, error) {
	p, err := c.plan(nodeID)
	if err != nil {
		return Refs{}, err
	}
	return p.uses.refs(), nil
}

// Decide evaluates the conditions of a decision node. Every edge whose condition
// is true is taken, the default edge if there is none. It fails with
// flow.no_branch if that leaves nothing, and with the first condition that
// cannot be evaluated; the evaluations so far come along with an error.
func (c *Compiled) Decide(ctx context.Context, nodeID string, s Scope) (Decision, error) {
	d := Decision{MatchedEdgeIDs: []string{}, Evaluations: []Evaluation{}}
	p, err := c.plan(nodeID)
	if err != nil {
		return d, err
	}
	vars := s.vars()
	for _, cond := range p.conditions {
		result, err := cond.cond.eval(ctx, vars)
		if err != nil {
			return d, err
		}
		d.Evaluations = append(d.Evaluations, Evaluation{EdgeID: cond.edge, Expression: cond.cond.String(), Result: result})
		if result && !slices.Contains(d.MatchedEdgeIDs, cond.edge) {
			d.MatchedEdgeIDs = append(d.MatchedEdgeIDs, cond.edge)
		}
	}
	if len(d.MatchedEdgeIDs) > 0 {
		return d, nil
	}
	if p.fallback == "" {
		return d, errs.Ef(errs.Invalid, "flow.no_branch", "No condition of decision %q is true and it has no default edge.", nodeID)
	}
	d.MatchedEdgeIDs = append(d.MatchedEdgeIDs, p.fallback)
	return d, nil
}

// RenderConfig gives a node's config with its templates rendered. Within a body
// that is a JSON value, a text that consists of a single expression becomes that
// expression's value, whatever its type.
func (c *Compiled) RenderConfig(ctx context.Context, nodeID string, s Scope) (json.RawMessage, error) {
	p, err := c.plan(nodeID)
	if err != nil {
		return nil, err
	}
	n := c.nodes[c.index[nodeID]].node
	m, err := configMap(n.Config)
	if err != nil {
		return nil, err
	}
	vars, left := s.vars(), MaxRenderedConfig
	err = walkTexts(n.Kind, m, func(location, _ string) (any, error) {
		t := p.texts[location]
		limit := min(left, MaxRenderedBytes)
		if e := t.single(); e != nil && strings.HasPrefix(location, "config.body") && location != "config.body" {
			v, err := e.eval(ctx, vars)
			if err != nil {
				return nil, inNode(err, nodeID, location)
			}
			raw, err := e.json(v, limit)
			left -= len(raw)
			return json.RawMessage(raw), inNode(err, nodeID, location)
		}
		text, err := t.render(ctx, vars, limit)
		left -= len(text)
		return text, inNode(err, nodeID, location)
	})
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the config of node %q: %w", nodeID, err)
	}
	return raw, nil
}

// inNode adds to an error where its template stands.
func inNode(err error, nodeID, location string) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*errs.Error](err)
	if !ok {
		return err
	}
	c := *e
	c.Message = fmt.Sprintf("Node %q, %s: %s", nodeID, location, e.Message)
	c.Details = append(slices.Clone(e.Details), errs.Detail{Location: location, Message: e.Message})
	return &c
}

// single gives the expression of a template that is nothing else.
func (t *Template) single() *Expr {
	if len(t.parts) == 1 {
		return t.parts[0].expr
	}
	return nil
}

// Kinds gives the kinds of the graph's nodes, sorted.
func (c *Compiled) Kinds() []Kind {
	set := map[Kind]bool{}
	for _, n := range c.nodes {
		set[n.node.Kind] = true
	}
	return slices.Sorted(maps.Keys(set))
}
