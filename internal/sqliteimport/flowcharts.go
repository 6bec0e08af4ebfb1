package sqliteimport

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/flowchart"
)

// Limits of flowcharts, as the API takes them. A run never exceeds hardExecutions.
const (
	maxFlowchartName = 200
	maxDescription   = 2000
	hardExecutions   = 10_000
	maxMinutes       = 100_000
	maxParallel      = 1000
)

// importFlowcharts writes flowcharts under the ids they had, each with its graph
// as version 1. The version has the flowchart's id.
func (im *importer) importFlowcharts(ctx context.Context) error {
	refs, err := im.references(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{"flowcharts", "flowchart_nodes", "flowchart_edges"} {
		im.rep.table(name)
	}
	err = im.src.each(ctx, "flowcharts", func(r row) error {
		im.read("flowcharts")
		return im.importFlowchart(ctx, r, refs)
	})
	if err != nil {
		return err
	}
	for _, table := range []string{"flowchart_nodes", "flowchart_edges"} {
		if err := im.countParts(ctx, table); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) importFlowchart(ctx context.Context, r row, refs references) error {
	const table = "flowcharts"
	id, ok := r.id("id")
	if !ok {
		return im.skip(ctx, table, r, "its id is no positive number")
	}
	s := &sheet{id: id, refs: refs}
	if err := im.readParts(ctx, s); err != nil {
		return err
	}
	g, err := s.graph()
	if err != nil {
		reason := "its graph cannot be stored: " + short(strings.TrimPrefix(err.Error(), "flow.invalid_graph: "), 200)
		im.refuseRow(table, id, reason)
		return im.skip(ctx, table, r, reason)
	}
	for _, n := range s.notes {
		im.rep.table(n.table).note(n.text, n.id)
	}
	c, err := im.writeFlowchart(ctx, r, s, g)
	if err != nil {
		return fmt.Errorf("flowchart %d: %w", id, err)
	}
	im.charts[id] = c
	im.rep.table(table).written()
	return nil
}

// readParts reads the nodes and edges of a flowchart.
func (im *importer) readParts(ctx context.Context, s *sheet) error {
	parts := []struct {
		table string
		add   func(row) string
	}{{"flowchart_nodes", s.addNode}, {"flowchart_edges", s.addEdge}}
	for _, p := range parts {
		err := im.src.where(ctx, p.table, "flowchart_id", s.id, func(r row) error {
			if refused := p.add(r); refused != "" {
				id, _ := r.integer("id")
				im.refuseRow(p.table, id, refused)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) writeFlowchart(ctx context.Context, r row, s *sheet, g *flowchart.Graph) (*chart, error) {
	sid := strconv.FormatInt(s.id, 10)
	graph, err := encode(g)
	if err != nil {
		return nil, err
	}
	all := append(flowchart.Validate(g, flowchart.WithModels(func(id int64) bool { return im.models[id] })), s.findings...)
	if len(all) > 0 {
		im.rep.table("flowcharts").note("it has findings and does not run until they are dealt with in the editor", sid)
	}
	findings, err := encode(all[:min(len(all), flowchart.MaxFindings)])
	if err != nil {
		return nil, err
	}
	name := r.trimmed("name")
	if name == "" || short(name, maxFlowchartName) != name {
		im.rep.table("flowcharts").note("its name was empty or too long and was changed", sid)
		name = short(cmp.Or(name, "Flowchart "+sid), maxFlowchartName)
	}
	executions, minutes, parallel := im.limit(r, "max_node_executions", hardExecutions), im.limit(r, "max_runtime_minutes", maxMinutes), im.limit(r, "max_parallel_nodes", maxParallel)
	created, updated := im.created("flowcharts", sid, r)
	err = im.out.add(ctx, "flowchart", s.id, name, short(r.trimmed("description"), maxDescription), 1, executions, minutes, parallel, created, updated)
	if err != nil {
		return nil, err
	}
	err = im.out.add(ctx, "flowchart_version", s.id, s.id, 1, graph, findings, len(g.Nodes), updated)
	if err != nil {
		return nil, err
	}
	c := &chart{start: cmp.Or(g.StartID(), "none"), nodes: make(map[int64]nodeRef, len(s.nodes)), maxExecutions: hardExecutions, maxParallel: hardExecutions}
	if executions != nil {
		c.maxExecutions = *executions
	}
	if parallel != nil {
		c.maxParallel = *parallel
	}
	for _, n := range s.nodes {
		c.nodes[n.id] = nodeRef{string(n.kind), n.title}
	}
	return c, nil
}

// limit reads a limit; nil means none.
func (im *importer) limit(r row, column string, most int64) *int32 {
	if r.isNull(column) {
		return nil
	}
	t, sid := im.rep.table("flowcharts"), im.sourceID("flowcharts", r)
	n, ok := r.integer(column)
	if !ok || n < 1 {
		t.note("its "+column+" is no number above 0; it has no limit now", sid)
		return nil
	}
	if n > most {
		t.note(fmt.Sprintf("its %s is above %d and was set to that", column, most), sid)
		n = most
	}
	out := int32(n)
	return &out
}

// countParts counts the nodes or edges that became parts of graphs and keeps all
// of them as they were: a graph has no place for everything in them.
func (im *importer) countParts(ctx context.Context, table string) error {
	t := im.rep.table(table)
	return im.src.each(ctx, table, func(r row) error {
		im.read(table)
		id, _ := r.integer("id")
		chartID, _ := r.integer("flowchart_id")
		switch {
		case im.refused[table][id] != "":
			return im.skip(ctx, table, r, im.refused[table][id])
		case im.refused["flowcharts"][chartID] != "":
			return im.skip(ctx, table, r, "its flowchart was not taken over")
		case im.charts[chartID] == nil:
			return im.skip(ctx, table, r, "its flowchart is not in the file")
		}
		t.written()
		if _, err := im.archive(ctx, table, r, "the original's row of a part of a graph"); err != nil {
			return err
		}
		return nil
	})
}

// references looks up what graphs refer to.
func (im *importer) references(ctx context.Context) (references, error) {
	system, err := im.agentInstructions(ctx)
	if err != nil {
		return references{}, err
	}
	sources := map[string]int64{}
	err = im.src.each(ctx, "rag_sources", func(r row) error {
		if id, ok := r.id("id"); ok && r.trimmed("collection") != "" {
			sources[r.trimmed("collection")] = id
		}
		return nil
	})
	if err != nil {
		return references{}, err
	}
	attached := map[int64]map[string]int{}
	for table, what := range map[string]string{
		"flowchart_node_mcp_servers": "MCP servers", "flowchart_node_scripts": "scripts",
		"flowchart_node_skills": "skills", "flowchart_node_attachments": "attachments",
	} {
		err := im.src.each(ctx, table, func(r row) error {
			if id, ok := r.id("flowchart_node_id"); ok {
				if attached[id] == nil {
					attached[id] = map[string]int{}
				}
				attached[id][what]++
			}
			return nil
		})
		if err != nil {
			return references{}, err
		}
	}
	return references{
		model:       func(id int64) (int64, bool) { return id, im.models[id] },
		fallback:    im.defaultModel(),
		system:      func(id int64) string { return system[id] },
		sources:     func(collection string) (int64, bool) { id, ok := sources[collection]; return id, ok },
		attachments: func(id int64) map[string]int { return attached[id] },
	}, nil
}

// agentInstructions gives what agents are told: their role's description and
// their own prompt.
func (im *importer) agentInstructions(ctx context.Context) (map[int64]string, error) {
	roles := map[int64]string{}
	err := im.src.each(ctx, "roles", func(r row) error {
		if id, ok := r.id("id"); ok {
			roles[id] = r.trimmed("description")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := map[int64]string{}
	err = im.src.each(ctx, "agents", func(r row) error {
		id, ok := r.id("id")
		role, _ := r.id("role_id")
		own := cmp.Or(r.trimmed("prompt_text"), r.trimmed("description"))
		if ok {
			out[id] = strings.TrimSpace(roles[role] + "\n\n" + own)
		}
		return nil
	})
	return out, err
}
