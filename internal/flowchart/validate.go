package flowchart

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
)

// Finding is something that keeps a graph from running.
type Finding struct {
	NodeID  string `json:"node_id"`
	EdgeID  string `json:"edge_id"`
	Reason  string `json:"reason"` // stable dotted word
	Message string `json:"message"`
}

// Options of Validate.
type Options struct {
	// ModelExists tells whether there is a model with that id; nil: not checked.
	ModelExists func(id int64) bool
}

// Validate finds everything that keeps a graph from running, in the order of the
// graph. The graph has passed Check.
func Validate(g *Graph, o Options) ([]Finding, error) {
	_, findings, err := compile(g, o)
	return findings, err
}

// compiler checks and compiles in one go, so that the two cannot disagree.
type compiler struct {
	*Compiled
	o        Options
	env      *cel.Env
	findings []Finding
	closed   map[string]bool // names that input may have; nil: any
}

// compile gives findings for the author; err is ours.
func compile(g *Graph, o Options) (*Compiled, []Finding, error) {
	env, err := newEnv()
	if err != nil {
		return nil, nil, err
	}
	c := &compiler{o: o, env: env, findings: []Finding{}, Compiled: &Compiled{
		graph: g, edges: make(map[string]int, len(g.Edges)), decisions: map[string]*Decision{},
		fanIn: make([]fanIn, len(g.Nodes)), policies: make([]Policy, len(g.Nodes)), configs: make([]*configTemplates, len(g.Nodes)),
	}}
	for i := range g.Edges {
		c.edges[g.Edges[i].ID] = i
	}
	start := c.findStart()
	c.topo = newTopology(g, start)
	if start >= 0 {
		c.readSchema(&g.Nodes[start])
	}
	for i := range g.Nodes {
		c.node(i)
	}
	if start >= 0 {
		c.reachable(start)
	}
	return c.Compiled, c.findings, nil
}

func (c *compiler) find(n *Node, reason, format string, args ...any) {
	f := Finding{Reason: reason, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		f.NodeID = n.ID
	}
	c.findings = append(c.findings, f)
}

func (c *compiler) findStart() int {
	start := -1
	for i := range c.graph.Nodes {
		n := &c.graph.Nodes[i]
		if n.Kind != KindStart {
			continue
		}
		if start >= 0 {
			c.find(n, "flow.second_start", "There is more than one start node; one is accepted.")
			continue
		}
		start, c.start = i, n.ID
	}
	if start < 0 {
		c.find(nil, "flow.no_start", "There is no start node. Add one from the palette.")
	}
	return start
}

// readSchema compiles the input schema and, where it names all members of the
// input, remembers them.
func (c *compiler) readSchema(n *Node) {
	var cfg StartConfig
	if decode(n.Config, &cfg) != nil || len(cfg.InputSchema) == 0 || string(cfg.InputSchema) == "null" {
		return // a config that cannot be read is reported with its node
	}
	schema, err := CompileSchema(cfg.InputSchema)
	if err != nil {
		c.find(n, "flow.invalid_schema", "input_schema %s", err)
		return
	}
	c.schema = schema
	var shape struct {
		Properties           map[string]json.RawMessage `json:"properties"`
		AdditionalProperties json.RawMessage            `json:"additionalProperties"`
	}
	if json.Unmarshal(cfg.InputSchema, &shape) == nil && string(shape.AdditionalProperties) == "false" {
		c.closed = map[string]bool{}
		for name := range shape.Properties {
			c.closed[name] = true
		}
	}
}

func (c *compiler) node(i int) {
	n := &c.graph.Nodes[i]
	configs, faults := compileConfig(c.env, n)
	if configs == nil {
		configs = &configTemplates{}
	}
	c.configs[i] = configs
	for _, f := range faults {
		reason := "flow.invalid_template"
		if strings.Contains(f.err.Error(), "unknown name") {
			reason = "flow.unknown_name"
		}
		c.find(n, reason, "%s: %s", strings.TrimPrefix(f.pointer, "/"), f.err)
	}
	c.names(n, configs.refs, configs.inputs)
	if !supportedKind(n.Kind) {
		c.find(n, "flow.unsupported_kind", "Nodes of kind %s cannot run yet (unsupported_kind). Remove the node to run the flowchart.", n.Kind)
		return
	}
	c.kind(i, n)
}

// names checks that what expressions read by name is there.
func (c *compiler) names(n *Node, refs Refs, inputs map[string][]string) {
	ids, _ := refs.List()
	for _, id := range ids {
		if _, ok := c.topo.index[id]; !ok {
			c.find(n, "flow.unknown_name", "nodes.%s is read, but the graph has no node %q.", id, id)
		}
	}
	if c.closed == nil {
		return
	}
	for _, names := range inputs {
		for _, name := range names {
			if !c.closed[name] {
				c.find(n, "flow.unknown_name", "input.%s is read, but the input schema does not have it.", name)
			}
		}
	}
}

func (c *compiler) kind(i int, n *Node) {
	switch n.Kind {
	case KindStart:
		var cfg StartConfig
		c.decode(i, n, &cfg, &cfg.Common)
	case KindEnd:
		var cfg EndConfig
		c.decode(i, n, &cfg, &cfg.Common)
		if len(c.topo.out[i]) > 0 {
			c.find(n, "flow.end_has_edges", "An end node has no outgoing edges.")
		}
	case KindTask:
		c.task(i, n)
	case KindDecision:
		c.decision(i, n)
	case KindHTTP:
		c.http(i, n)
	case KindScript:
		c.script(i, n)
	default:
	}
}

// decode reads a config and what all kinds have in common.
func (c *compiler) decode(i int, n *Node, into any, common *Common) bool {
	if err := decode(n.Config, into); err != nil {
		c.find(n, "flow.invalid_config", "config: %s.", err)
		return false
	}
	c.common(i, n, common)
	return true
}

func (c *compiler) common(i int, n *Node, cfg *Common) {
	f, err := parseFanIn(cfg.FanIn)
	if err != nil {
		c.find(n, "flow.invalid_fan_in", "%s.", err)
	}
	if parents := len(c.topo.in[i]); f.k > max(parents, 1) {
		c.find(n, "flow.invalid_fan_in", "fan_in is %d, but the node has %d parents over solid edges.", f.k, parents)
	}
	c.fanIn[i], c.policies[i] = f, policyOf(*cfg)
	if r := cfg.Retry; r != nil {
		if r.MaxAttempts < 1 || r.MaxAttempts > 20 {
			c.find(n, "flow.invalid_retry", "retry.max_attempts is %d; 1 to 20 are accepted.", r.MaxAttempts)
		}
		if r.BackoffSeconds < 0 || r.BackoffSeconds > 3600 {
			c.find(n, "flow.invalid_retry", "retry.backoff_seconds is %g; 0 to 3600 are accepted.", r.BackoffSeconds)
		}
	}
	if t := cfg.TimeoutSeconds; t != nil && (*t <= 0 || *t > 86400) {
		c.find(n, "flow.invalid_timeout", "timeout_seconds is %g; more than 0 and at most 86400 are accepted.", *t)
	}
}

func (c *compiler) task(i int, n *Node) {
	var cfg TaskConfig
	if !c.decode(i, n, &cfg, &cfg.Common) {
		return
	}
	if strings.TrimSpace(cfg.Prompt) == "" {
		c.find(n, "flow.missing_prompt", "The prompt is empty. Say what the model should do.")
	}
	switch {
	case cfg.ModelID == 0:
		c.find(n, "flow.missing_model", "No model is chosen.")
	case c.o.ModelExists != nil && !c.o.ModelExists(cfg.ModelID):
		c.find(n, "flow.unknown_model", "There is no model %d. Choose another one.", cfg.ModelID)
	}
	if len(cfg.OutputSchema) > 0 && string(cfg.OutputSchema) != "null" {
		if _, err := CompileSchema(cfg.OutputSchema); err != nil {
			c.find(n, "flow.invalid_schema", "output_schema %s", err)
		}
	}
	if len(cfg.MCPServerIDs) > 0 || (len(cfg.Tools) > 0 && string(cfg.Tools) != "null" && string(cfg.Tools) != "[]") {
		c.find(n, "flow.unsupported_tools", "Tools and MCP servers cannot be used in task nodes yet. Remove them.")
	}
}

func (c *compiler) decision(i int, n *Node) {
	var cfg DecisionConfig
	if !c.decode(i, n, &cfg, &cfg.Common) {
		return
	}
	own := map[string]bool{}
	for _, e := range c.topo.out[i] {
		own[c.graph.Edges[e].ID] = true
	}
	if len(own) == 0 {
		c.find(n, "flow.decision_without_edges", "A decision needs at least one outgoing solid edge.")
	}
	d := &Decision{fallback: cfg.DefaultEdgeID}
	if cfg.DefaultEdgeID != "" && !own[cfg.DefaultEdgeID] {
		c.find(n, "flow.unknown_edge", "default_edge_id is %q, which is not a solid edge out of this node.", cfg.DefaultEdgeID)
	}
	for k, cond := range cfg.Conditions {
		if !own[cond.EdgeID] {
			c.findings = append(c.findings, Finding{
				NodeID: n.ID, EdgeID: cond.EdgeID, Reason: "flow.unknown_edge",
				Message: fmt.Sprintf("conditions[%d] names edge %q, which is not a solid edge out of this node.", k, cond.EdgeID),
			})
		}
		e, err := compileExpr(c.env, cond.Expression)
		if err != nil {
			reason := "flow.invalid_expression"
			if strings.Contains(err.Error(), "unknown name") {
				reason = "flow.unknown_name"
			}
			c.findings = append(c.findings, Finding{
				NodeID: n.ID, EdgeID: cond.EdgeID, Reason: reason, Message: fmt.Sprintf("conditions[%d]: %s.", k, err),
			})
			continue
		}
		c.names(n, e.refs, map[string][]string{"": e.inputs})
		d.conditions = append(d.conditions, condition{edge: cond.EdgeID, expr: e})
	}
	if len(cfg.Conditions) == 0 && cfg.DefaultEdgeID == "" {
		c.find(n, "flow.decision_without_conditions", "A decision needs a condition or a default edge.")
	}
	c.decisions[n.ID] = d
}

func (c *compiler) http(i int, n *Node) {
	var cfg HTTPConfig
	if !c.decode(i, n, &cfg, &cfg.Common) {
		return
	}
	if methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}; !slices.Contains(methods, cfg.Method) && cfg.Method != "" {
		c.find(n, "flow.invalid_method", "method is %q; accepted are %s.", cfg.Method, strings.Join(methods, ", "))
	}
	if strings.TrimSpace(cfg.URL) == "" {
		c.find(n, "flow.missing_url", "The URL is empty.")
		return
	}
	if strings.Contains(cfg.URL, "{{") {
		return // known only when the node runs
	}
	if u, err := url.Parse(cfg.URL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		c.find(n, "flow.invalid_url", "url is %q; an http:// or https:// address is accepted.", cfg.URL)
	}
}

func (c *compiler) script(i int, n *Node) {
	var cfg ScriptConfig
	if !c.decode(i, n, &cfg, &cfg.Common) {
		return
	}
	hasCommand, hasScript := len(cfg.Command) > 0, strings.TrimSpace(cfg.Script) != ""
	if hasCommand == hasScript {
		c.find(n, "flow.missing_script", "Give either a command (a list of words) or a script.")
	}
}

// reachable finds nodes that no run from the start comes to.
func (c *compiler) reachable(start int) {
	for i := range c.graph.Nodes {
		if !c.topo.full[start].has(i) {
			c.find(&c.graph.Nodes[i], "flow.unreachable", "The start node does not lead here over solid edges.")
		}
	}
}
