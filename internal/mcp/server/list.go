package server

import (
	"context"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/mcp/publish"
)

// listTools gives one page of the tools that the caller may call: the server's own
// first, then published flowcharts, both by name. Names of the server's own begin
// with llmctl_, so a name alone is a position in the list.
func (s *Server) listTools(ctx context.Context, params *mcp.ListToolsParams) (*mcp.ListToolsResult, error) {
	user, domains, err := s.may(ctx, auth.Read)
	if err != nil {
		return nil, err
	}
	cursor := ""
	if params != nil {
		cursor = params.Cursor
	}
	after, err := afterName(cursor)
	if err != nil {
		return nil, err
	}
	out := &mcp.ListToolsResult{Tools: []*mcp.Tool{}}
	own := after == "" || strings.HasPrefix(after, publish.ReservedPrefix)
	size := min(s.o.MaxLimit, maxToolsPage)
	if own {
		for _, t := range s.tools {
			if t.name <= after || !user.May(t.permission) {
				continue
			}
			if len(out.Tools) == size {
				out.NextCursor = nameCursor(out.Tools[size-1].Name)
				return out, nil
			}
			out.Tools = append(out.Tools, t.listed)
		}
		after = ""
	}
	if !user.May(auth.Write) { // they run
		return out, nil
	}
	return out, listPublished(ctx, domains, out, after, size)
}

// listPublished fills the page up.
func listPublished(ctx context.Context, d *Domains, out *mcp.ListToolsResult, after string, size int) error {
	room := size - len(out.Tools)
	rows, err := d.Published.List(ctx, after, int32(room)+1)
	if err != nil {
		return err
	}
	for i, p := range rows {
		if i == room {
			out.NextCursor = nameCursor(out.Tools[size-1].Name)
			return nil
		}
		out.Tools = append(out.Tools, describe(&p))
	}
	return nil
}

// describe is a published flowchart as a tool.
func describe(p *publish.Published) *mcp.Tool {
	about := strings.TrimSpace(p.About)
	if about == "" {
		about = fmt.Sprintf("Runs the flowchart %q.", p.FlowchartName)
	}
	return &mcp.Tool{
		Name: p.Name, Title: p.FlowchartName, InputSchema: p.InputSchema, OutputSchema: runResultSchema(),
		Description: about + fmt.Sprintf("\n\nThis is flowchart %d of the Studio: the arguments are its input, the answer is the run. "+
			"It is waited for at most %d seconds; if finished is false then, call llmctl_wait_flowchart_run with run_id.", p.FlowchartID, p.WaitSeconds),
		Annotations: hints(executes, p.FlowchartName),
		Meta:        mcp.Meta{"llmctl/flowchart_id": p.FlowchartID},
	}
}
