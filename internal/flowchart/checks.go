package flowchart

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

const maxTopK = 20

func (v *validator) checkStart(n Node) (Common, faults) {
	c, f := decodeStart(n.Config)
	v.checkSchema(n, "input_schema", c.InputSchema)
	return c.Common, f
}

func (v *validator) checkSchema(n Node, member string, raw json.RawMessage) {
	if isBlank(raw) {
		return
	}
	if _, err := compileSchema(raw); err != nil {
		v.addf(n.ID, "flow.invalid_schema", "%s is no valid JSON Schema: %s.", member, err)
	}
}

func (v *validator) checkTask(n Node) (Common, faults) {
	c, f := decodeTask(n.Config)
	if strings.TrimSpace(c.Prompt) == "" && !f.names("config.prompt") {
		v.addf(n.ID, "flow.missing_prompt", "The task has no prompt.")
	}
	switch {
	case f.names("config.model_id"):
	case c.ModelID <= 0:
		v.addf(n.ID, "flow.missing_model", "The task has no model.")
	default:
		v.checkModel(n, c.ModelID)
	}
	v.checkSchema(n, "output_schema", c.OutputSchema)
	if c.MaxCycles < 0 || c.MaxCycles > maxToolCycles {
		v.addf(n.ID, reasonConfig, "config.max_cycles is %d; accepted are 1 to %d.", c.MaxCycles, maxToolCycles)
	}
	return c.Common, f
}

// maxToolCycles is how many answers of a task's model may ask for tools at most.
const maxToolCycles = 64

// names reports whether a member is already known to be faulty.
func (f faults) names(location string) bool {
	for _, d := range f {
		if d.Location == location {
			return true
		}
	}
	return false
}

func (v *validator) checkDecision(n Node) (Common, faults) {
	c, f := decodeDecision(n.Config)
	own := v.solid[n.ID]
	isOwn := func(id string) bool { return slices.ContainsFunc(own, func(e Edge) bool { return e.ID == id }) }
	if len(own) == 0 {
		v.addf(n.ID, "flow.decision_without_edges", "The decision has no solid edge to take.")
	}
	taken := map[string]bool{c.DefaultEdgeID: true}
	for i, cond := range c.Conditions {
		switch {
		case !isOwn(cond.EdgeID):
			v.add(n.ID, cond.EdgeID, "flow.unknown_edge", fmt.Sprintf("Condition %d names %q, which is no solid edge that leaves the decision.", i+1, cond.EdgeID))
		case slices.ContainsFunc(c.Conditions[:i], func(o ConditionConfig) bool { return o.EdgeID == cond.EdgeID }):
			v.add(n.ID, cond.EdgeID, "flow.duplicate_condition", fmt.Sprintf("Edge %q has more than one condition; join them with ||.", cond.EdgeID))
		}
		taken[cond.EdgeID] = true
		v.condition(n, i, cond)
	}
	if c.DefaultEdgeID != "" && !isOwn(c.DefaultEdgeID) {
		v.add(n.ID, c.DefaultEdgeID, "flow.unknown_edge", fmt.Sprintf("default_edge_id names %q, which is no solid edge that leaves the decision.", c.DefaultEdgeID))
	}
	if len(f) == 0 {
		for _, e := range own {
			if !taken[e.ID] {
				v.add(n.ID, e.ID, "flow.edge_never_taken", fmt.Sprintf("Edge %q has no condition and is not the default.", e.ID))
			}
		}
	}
	return c.Common, f
}

func (v *validator) condition(n Node, i int, c ConditionConfig) {
	at := indexed("config.conditions", i)
	cond, err := v.lang.condition(c.Expression)
	if err != nil {
		v.textFault(n, c.EdgeID, at, c.Expression, err)
		return
	}
	v.names(n, c.EdgeID, at, cond.expr.uses)
}

func (v *validator) checkHTTP(n Node) (Common, faults) {
	c, f := decodeHTTP(n.Config)
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	if !slices.Contains(methods, strings.ToUpper(c.Method)) && !f.names("config.method") {
		v.addf(n.ID, "flow.invalid_method", "method must be one of %s, not %q.", strings.Join(methods, ", "), c.Method)
	}
	if !f.names("config.url") {
		v.url(n, c.URL)
	}
	return c.Common, f
}

// url checks what is known of an address before its templates are rendered.
func (v *validator) url(n Node, text string) {
	if strings.TrimSpace(text) == "" {
		v.addf(n.ID, "flow.missing_url", "The http node has no url.")
		return
	}
	t, err := v.lang.template(text)
	if err != nil {
		return // reported with the other texts
	}
	prefix, whole := t.Static()
	scheme, _, found := strings.Cut(prefix, "://")
	switch {
	case whole:
		u, err := url.Parse(prefix)
		if err != nil || u.Host == "" || !isHTTP(u.Scheme) {
			v.addf(n.ID, "flow.invalid_url", "url must be an absolute http or https address, not %s.", quote(prefix))
		}
	case prefix != "" && (!found || !isHTTP(scheme)) && !isHTTPStart(prefix):
		v.addf(n.ID, "flow.invalid_url", "url must begin with http:// or https://, not with %s.", quote(prefix))
	}
}

func isHTTP(scheme string) bool {
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}

// isHTTPStart reports whether a prefix may still become an http address.
func isHTTPStart(prefix string) bool {
	start := strings.ToLower(prefix)
	return slices.ContainsFunc([]string{"http://", "https://"}, func(s string) bool { return strings.HasPrefix(s, start) })
}

func (v *validator) checkScript(n Node) (Common, faults) {
	c, f := decodeScript(n.Config)
	command := len(c.Command) > 0 && strings.TrimSpace(c.Command[0]) != ""
	script := strings.TrimSpace(c.Script) != ""
	switch {
	case f.names("config.command") || f.names("config.script"):
	case !command && !script:
		v.addf(n.ID, "flow.missing_script", "The script node has neither a command nor a script.")
	case command && script:
		v.addf(n.ID, "flow.ambiguous_script", "The script node has both a command and a script; it can run only one.")
	}
	for name := range c.Env {
		if !envName.MatchString(name) {
			f.add("config.env."+name, "is no name of an environment variable")
		}
	}
	slices.SortStableFunc(f, func(a, b errs.Detail) int { return strings.Compare(a.Location, b.Location) })
	return c.Common, f
}

// checkModel checks that a model can answer.
func (v *validator) checkModel(n Node, id int64) {
	switch {
	case v.modelExists != nil && !v.modelExists(id):
		v.addf(n.ID, "flow.unknown_model", "There is no model %d.", id)
	case v.modelEmbeds != nil && v.modelEmbeds(id):
		v.addf(n.ID, "flow.embedding_model", "Model %d makes vectors for retrieval; it cannot answer. Choose another one.", id)
	}
}

func (v *validator) checkRAG(n Node) (Common, faults) {
	c, f := decodeRAG(n.Config)
	switch c.Mode {
	case "query":
		if strings.TrimSpace(c.Question) == "" && !f.names("config.question") {
			v.addf(n.ID, "flow.missing_question", "The rag node has no question.")
		}
	case "fresh_index", "delta_index":
	default:
		if !f.names("config.mode") {
			f.add("config.mode", "must be query, fresh_index or delta_index, not %q", c.Mode)
		}
	}
	if c.ModelID != 0 && !f.names("config.model_id") {
		v.checkModel(n, c.ModelID)
	}
	if len(c.SourceIDs) == 0 && !f.names("config.source_ids") {
		v.addf(n.ID, "flow.missing_sources", "The rag node has no sources.")
	}
	for _, id := range c.SourceIDs {
		if v.sourceExists != nil && !v.sourceExists(id) {
			v.addf(n.ID, "flow.unknown_source", "There is no source %d.", id)
		}
	}
	if c.TopK < 0 || c.TopK > maxTopK {
		f.add("config.top_k", "must lie between 1 and %d", maxTopK)
	}
	return c.Common, f
}

// texts checks the templates of a node.
func (v *validator) texts(n Node) {
	m, err := configMap(n.Config)
	if err != nil {
		return // Parse refuses such a config
	}
	_ = walkTexts(n.Kind, m, func(location, text string) (any, error) {
		t, err := v.lang.template(text)
		if err != nil {
			v.textFault(n, "", location, text, err)
		} else {
			v.names(n, "", location, t.uses)
		}
		return text, nil
	})
}

// names checks what a text reads against the graph and the input schema.
func (v *validator) names(n Node, edge, location string, u uses) {
	for _, id := range u.refs().Nodes {
		if _, ok := v.nodes[id]; !ok {
			v.add(n.ID, edge, reasonUnknownName, fmt.Sprintf("%s reads nodes.%s, but the flowchart has no node %q.", location, id, id))
		}
	}
	if v.schema == nil {
		return
	}
	told := map[string]bool{}
	for _, path := range u.input {
		name, unknown := undeclared(v.schema, path)
		if full := rootInput + "." + strings.Join(path, "."); unknown && !told[full] {
			told[full] = true
			v.add(n.ID, edge, reasonUnknownName, fmt.Sprintf("%s reads %s, but the input schema declares no %q.", location, full, name))
		}
	}
}

func (v *validator) textFault(n Node, edge, location, text string, err error) {
	message := fmt.Sprintf("%s: %s.", location, err)
	i := slices.IndexFunc(v.g.Nodes, func(o Node) bool {
		return strings.Contains(o.ID, "-") && strings.Contains(text, rootNodes+"."+o.ID)
	})
	if i >= 0 {
		message += fmt.Sprintf(" Because of its hyphen, node %q is read as nodes[%q].", v.g.Nodes[i].ID, v.g.Nodes[i].ID)
	}
	v.add(n.ID, edge, reasonOf(err), message)
}
