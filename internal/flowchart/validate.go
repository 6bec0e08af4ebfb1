package flowchart

import (
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Finding is one reason why a graph cannot run. NodeID and EdgeID say where; both
// are empty for the graph as a whole. Reason is a stable word.
type Finding struct {
	NodeID  string `json:"node_id"`
	EdgeID  string `json:"edge_id"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// MaxFindings bounds what Validate lists.
const MaxFindings = 500

// Option tells Validate about its surroundings.
type Option func(*validator)

// WithModels makes a model_id that exists denies a finding.
func WithModels(exists func(id int64) bool) Option {
	return func(v *validator) { v.modelExists = exists }
}

// WithEmbeddingModels makes a model_id that embeds confirms a finding: such a model
// answers nobody.
func WithEmbeddingModels(embeds func(id int64) bool) Option {
	return func(v *validator) { v.modelEmbeds = embeds }
}

// WithSources makes a source id that exists denies a finding.
func WithSources(exists func(id int64) bool) Option {
	return func(v *validator) { v.sourceExists = exists }
}

// WithKinds says which kinds have a handler. Without it these are start, end,
// task, decision, http, script and rag.
func WithKinds(kinds ...Kind) Option {
	return func(v *validator) { v.handled = kinds }
}

// Validate lists everything that keeps a parsed graph from running, nodes first,
// each in the order of the graph. The list is empty, not nil, for a sound graph.
func Validate(g *Graph, options ...Option) []Finding {
	v := &validator{
		g: g, out: []Finding{},
		handled: []Kind{KindStart, KindEnd, KindTask, KindDecision, KindHTTP, KindScript, KindRAG},
		nodes:   make(map[string]Node, len(g.Nodes)),
		solid:   map[string][]Edge{},
		parents: map[string]int{},
	}
	for _, o := range options {
		o(v)
	}
	lang, err := newLanguage()
	if err != nil {
		v.add("", "", "flow.language", err.Error())
		return v.out
	}
	v.lang = lang
	v.index()
	v.starts()
	v.inputSchema()
	for _, n := range g.Nodes {
		v.node(n)
	}
	for _, e := range g.Edges {
		if v.nodes[e.Source].Kind == KindEnd {
			v.add("", e.ID, "flow.end_has_out_edge", fmt.Sprintf("The end node %q must not have an edge that leaves it.", e.Source))
		}
	}
	v.reachable()
	return v.out
}

type validator struct {
	g            *Graph
	lang         *language
	modelExists  func(int64) bool
	modelEmbeds  func(int64) bool
	sourceExists func(int64) bool
	handled      []Kind
	nodes        map[string]Node
	solid        map[string][]Edge // out-edges by source
	parents      map[string]int    // number of solid in-edges
	start        string            // the only start node
	schema       *jsonschema.Schema
	out          []Finding
}

func (v *validator) add(node, edge, reason, message string) {
	if len(v.out) < MaxFindings {
		v.out = append(v.out, Finding{NodeID: node, EdgeID: edge, Reason: reason, Message: message})
	}
}

func (v *validator) addf(node, reason, format string, args ...any) {
	v.add(node, "", reason, fmt.Sprintf(format, args...))
}

func (v *validator) index() {
	for _, n := range v.g.Nodes {
		v.nodes[n.ID] = n
	}
	for _, e := range v.g.Edges {
		if e.Mode == Solid {
			v.solid[e.Source] = append(v.solid[e.Source], e)
			v.parents[e.Target]++
		}
	}
}

func (v *validator) starts() {
	var starts []Node
	for _, n := range v.g.Nodes {
		if n.Kind == KindStart {
			starts = append(starts, n)
		}
	}
	switch len(starts) {
	case 0:
		v.addf("", "flow.no_start", "The flowchart has no start node.")
	case 1:
		v.start = starts[0].ID
	default:
		v.addf("", "flow.many_starts", "The flowchart has %d start nodes (%s); it needs exactly one.",
			len(starts), strings.Join(sortedIDs(starts), ", "))
	}
}

// inputSchema compiles the start node's schema before the other nodes' texts are
// checked against it. Its faults are the start node's findings.
func (v *validator) inputSchema() {
	cfg, f := decodeStart(v.nodes[v.start].Config)
	if v.start == "" || len(f) > 0 || isBlank(cfg.InputSchema) {
		return
	}
	v.schema, _ = compileSchema(cfg.InputSchema) // checkStart reports the fault
}

func (v *validator) node(n Node) {
	if !slices.Contains(v.handled, n.Kind) {
		v.addf(n.ID, "unsupported_kind", "Nodes of kind %q cannot run in this version.", n.Kind)
		return
	}
	var common Common
	var f faults
	switch n.Kind {
	case KindStart:
		common, f = v.checkStart(n)
	case KindTask:
		common, f = v.checkTask(n)
	case KindDecision:
		common, f = v.checkDecision(n)
	case KindHTTP:
		common, f = v.checkHTTP(n)
	case KindScript:
		common, f = v.checkScript(n)
	case KindRAG:
		common, f = v.checkRAG(n)
	case KindEnd:
		f = decode(n.Config, &common, nil)
	default:
		common, _ = DecodeCommon(n.Config) // the kind's handler knows its config
	}
	for _, d := range f {
		v.addf(n.ID, reasonConfig, "%s %s.", d.Location, d.Message)
	}
	if k := common.FanIn.Count(); k > 1 && k > v.parents[n.ID] {
		v.addf(n.ID, "flow.fan_in_too_large", "fan_in waits for %d parents, but only %d solid edges lead to the node.", k, v.parents[n.ID])
	}
	v.texts(n)
}

// reachable finds nodes that no solid path leads to from the start node.
func (v *validator) reachable() {
	if v.start == "" {
		return
	}
	seen := map[string]bool{v.start: true}
	for stack := []string{v.start}; len(stack) > 0; {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, e := range v.solid[at] {
			if !seen[e.Target] {
				seen[e.Target] = true
				stack = append(stack, e.Target)
			}
		}
	}
	for _, n := range v.g.Nodes {
		if !seen[n.ID] {
			v.addf(n.ID, "flow.unreachable", "No path of solid edges leads from the start node to %q.", n.ID)
		}
	}
}
