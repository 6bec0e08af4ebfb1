package sqliteimport

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/flowchart"
)

// translate gives the config of a node with our members.
func (s *sheet) translate(n *sheetNode) map[string]any {
	var out map[string]any
	switch n.kind {
	case flowchart.KindStart, flowchart.KindEnd:
		out = map[string]any{}
	case flowchart.KindTask:
		out = s.task(n)
	case flowchart.KindDecision:
		out = s.decision(n)
	case flowchart.KindRAG:
		out = s.rag(n)
	default:
		out = s.kept(n)
	}
	if n.kind != flowchart.KindStart {
		if v := s.fanIn(n); v != nil {
			out["fan_in"] = v
		}
	}
	s.attached(n)
	return out
}

// attached notes what hung on a node and has no place in this release.
func (s *sheet) attached(n *sheetNode) {
	if s.refs.attachments == nil {
		return
	}
	for _, what := range slices.Sorted(maps.Keys(s.refs.attachments(n.id))) {
		s.note("flowchart_nodes", "its "+what+" are not attached: this release has no place for them yet", n.id)
	}
}

// escaped writes a text that was no template as a template.
func escaped(text string) string { return strings.ReplaceAll(text, "{{", `{{ "{{" }}`) }

func (s *sheet) task(n *sheetNode) map[string]any {
	out := map[string]any{}
	prompt, _ := n.config["task_prompt"].(string)
	if strings.TrimSpace(prompt) != "" {
		out["prompt"] = escaped(prompt) + s.context(n.id)
	}
	if id, ok := integerOf(n.config["agent_id"]); ok && s.refs.system != nil {
		if system := s.refs.system(id); system != "" {
			out["system"] = escaped(system)
		} else {
			s.note("flowchart_nodes", "its agent is not in the file or has no instructions; the task has none", n.id)
		}
	}
	if id := s.model(n); id != 0 {
		out["model_id"] = id
	}
	return out
}

// model gives the id of the node's model in the target, 0 if it has none.
func (s *sheet) model(n *sheetNode) int64 {
	id, ok := n.row.id("model_id")
	if ok {
		if mapped, found := s.refs.model(id); found {
			return mapped
		}
		s.note("flowchart_nodes", "its model was not taken over; choose another", n.id)
		return 0
	}
	if s.refs.fallback != 0 {
		s.note("flowchart_nodes", "it had no model of its own and got the original's default model", n.id)
	}
	return s.refs.fallback
}

func integerOf(v any) (int64, bool) {
	return row{"": jsonNumber(v)}.id("")
}

func jsonNumber(v any) any {
	if n, ok := v.(json.Number); ok {
		return n.String()
	}
	return v
}

// context gives what the original told a task beside its prompt: the outputs of
// the nodes before it. A decision passes on what it looked at.
func (s *sheet) context(id int64) string {
	var b strings.Builder
	sources := s.speakers(id, map[int64]bool{id: true})
	for _, extra := range s.sourcesOf(id, flowchart.Dotted) {
		if n := s.node(extra); n.kind != flowchart.KindStart && !slices.Contains(sources, extra) {
			sources = append(sources, extra)
		}
	}
	for _, source := range sources {
		n := s.node(source)
		value := "nodes." + nodeID(source)
		if n.kind == flowchart.KindTask {
			value += ".text"
		}
		fmt.Fprintf(&b, "\n\nOutput of \"%s\":\n{{ has(nodes.%s) ? %s : \"\" }}", escaped(n.title), nodeID(source), value)
	}
	return b.String()
}

// speakers gives the nearest nodes before a node that have something to say.
func (s *sheet) speakers(id int64, seen map[int64]bool) []int64 {
	var out []int64
	for _, parent := range s.solidParents(id) {
		if seen[parent] {
			continue
		}
		seen[parent] = true
		switch s.node(parent).kind {
		case flowchart.KindStart:
		case flowchart.KindDecision:
			out = append(out, s.speakers(parent, seen)...)
		default:
			out = append(out, parent)
		}
	}
	return out
}

func (s *sheet) rag(n *sheetNode) map[string]any {
	out := map[string]any{}
	if mode := textOf(n.config["mode"]); mode != "" {
		out["mode"] = mode
	}
	if q, _ := n.config["question_prompt"].(string); q != "" {
		out["question"] = escaped(q)
	}
	if k, ok := integerOf(n.config["top_k"]); ok {
		out["top_k"] = min(k, 20)
	}
	ids := []int64{}
	collections, _ := n.config["collections"].([]any)
	for _, c := range collections {
		if id, ok := s.refs.sources(textOf(c)); ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		} else if !ok {
			s.note("flowchart_nodes", "a collection of it belongs to no source in the file", n.id)
		}
	}
	out["source_ids"] = ids
	return out
}

// kept gives the config of a kind that has no handler yet: the original's
// members, and what stood in the node's own columns.
func (s *sheet) kept(n *sheetNode) map[string]any {
	out := maps.Clone(n.config)
	for _, name := range []string{"fan_in_mode", "fan_in_custom_count", "fan_in"} {
		delete(out, name)
	}
	refs := map[flowchart.Kind]string{
		flowchart.KindFlowchart: "flowchart_id", flowchart.KindPlan: "plan_id",
		flowchart.KindMilestone: "milestone_id", flowchart.KindMemory: "memory_id",
	}
	if id, ok := n.row.id("ref_id"); ok {
		out[cmp.Or(refs[n.kind], "ref_id")] = id
	}
	if id, ok := n.row.id("model_id"); ok {
		if mapped, found := s.refs.model(id); found {
			out["model_id"] = mapped
		}
	}
	return out
}

// fanIn gives how many parents a join waits for; nil means all of them.
func (s *sheet) fanIn(n *sheetNode) any {
	parents := int64(len(s.solidParents(n.id)))
	switch textOf(n.config["fan_in_mode"]) {
	case "any":
		return "any"
	case "custom":
		k, ok := integerOf(n.config["fan_in_custom_count"])
		if !ok || parents == 0 {
			return nil
		}
		if k > parents {
			s.note("flowchart_nodes", "its fan-in waited for more parents than it has; it waits for all", n.id)
			return nil
		}
		return k
	}
	return nil
}

// decision turns connectors and condition texts into edges and expressions.
func (s *sheet) decision(n *sheetNode) map[string]any {
	edges := s.solidOut(n.id)
	d := decision{sheet: s, node: n, edges: edges, oneParent: len(s.solidParents(n.id)) == 1, byEdge: map[string][]string{}}
	fallback := textOf(n.config["fallback_condition_key"])
	for _, e := range edges {
		if fallback != "" && e.key == fallback {
			d.defaultEdge = e.kept
		}
	}
	if fallback != "" && d.defaultEdge == "" {
		s.note("flowchart_nodes", "its fallback names no edge of it", n.id)
	}
	texts := d.texts()
	if len(texts) == 0 {
		d.byRouteKey()
	} else {
		d.byText(texts)
	}
	return d.config()
}

type decision struct {
	sheet       *sheet
	node        *sheetNode
	edges       []sheetEdge
	oneParent   bool
	defaultEdge string
	byEdge      map[string][]string // kept edge id -> expressions, any of which takes it
}

// texts gives the condition texts by connector; the first of a name counts.
func (d *decision) texts() map[string]string {
	list, _ := d.node.config["decision_conditions"].([]any)
	out := map[string]string{}
	for _, item := range list {
		m, _ := item.(map[string]any)
		key := textOf(m["connector_id"])
		if _, dup := out[key]; key != "" && !dup {
			out[key] = textOf(m["condition_text"])
		}
	}
	return out
}

func (d *decision) byText(texts map[string]string) {
	named := map[string]bool{}
	for _, e := range d.edges {
		text, found := texts[e.key]
		named[e.key] = true
		if text == "" && (e.kept == d.defaultEdge) {
			continue // taken when nothing else is
		}
		if !found || text == "" {
			d.sheet.note("flowchart_edges", "it leaves a decision without a condition and is never taken, as before", e.id)
		}
		d.take(e, text)
	}
	for key := range texts {
		if named[key] {
			continue
		}
		d.sheet.note("flowchart_nodes", "a condition of it names no edge and was left out", d.node.id)
	}
}

// take makes an edge be taken by a condition text.
func (d *decision) take(e sheetEdge, text string) {
	expression, how := condition(text, d.oneParent)
	switch how {
	case exact:
	case approached:
		d.sheet.note("flowchart_edges", "its condition is one word; it became: that route key, or that word in the answer", e.id)
	case neverTrue:
		d.sheet.note("flowchart_edges", "its condition reads a name that the original did not have either; it is never taken, as before", e.id)
	case untranslated:
		expression = undecided(text)
		d.sheet.find(nodeID(d.node.id), e.kept, findingCondition,
			"The original's condition %q has no counterpart: it was looked for as text in everything that the node knew. Write an expression in its place, for example upstream.text.contains(\"…\").", short(text, 200))
		d.sheet.note("flowchart_edges", "its condition has to be written anew; the flowchart shows a finding with the original's text", e.id)
	}
	d.byEdge[e.kept] = append(d.byEdge[e.kept], expression)
}

// byRouteKey is for decisions of the time before conditions: the edge whose key
// the route key names is taken.
func (d *decision) byRouteKey() {
	from := textOf(d.node.config["route_field_path"])
	for _, e := range d.edges {
		switch {
		case e.key == "":
			if e.kept != d.defaultEdge {
				d.sheet.note("flowchart_edges", "it leaves a decision without a condition and is never taken, as before", e.id)
				d.byEdge[e.kept] = append(d.byEdge[e.kept], "false")
			}
		case from == "":
			d.byEdge[e.kept] = append(d.byEdge[e.kept], routeIs(e.key, false))
		default:
			d.take(e, from+" == \""+e.key+"\"")
		}
	}
}

func (d *decision) config() map[string]any {
	conditions := []map[string]string{}
	for _, e := range d.edges {
		if list := d.byEdge[e.kept]; len(list) > 0 {
			conditions = append(conditions, map[string]string{"edge_id": e.kept, "expression": joined(list)})
			delete(d.byEdge, e.kept)
		}
	}
	out := map[string]any{"conditions": conditions}
	if d.defaultEdge != "" {
		out["default_edge_id"] = d.defaultEdge
	}
	return out
}

func joined(expressions []string) string {
	expressions = slices.Compact(expressions)
	if len(expressions) == 1 {
		return expressions[0]
	}
	return "(" + strings.Join(expressions, ") || (") + ")"
}
