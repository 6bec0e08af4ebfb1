package app

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/llm/toolloop"
	"github.com/llmctl/studio/internal/llm/toolloop/calls"
	mcpclient "github.com/llmctl/studio/internal/mcp/client"
	"github.com/llmctl/studio/internal/mcp/servers"
	"github.com/llmctl/studio/internal/mcp/tools"
	"github.com/llmctl/studio/internal/node/kind"
	"github.com/llmctl/studio/internal/node/kind/task"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/secret"
)

// mcpSide is what a process has of MCP servers and the tools that models use.
type mcpSide struct {
	s       *studio
	servers *servers.Registry
	pool    *mcpclient.Pool
	box     *tools.Box
	calls   *calls.Store
	mounted atomic.Pointer[string] // address of the Studio's own server in this process, once it listens
}

func newMCPSide(s *studio) (*mcpSide, error) {
	allow, err := egress.New(append(servers.IntegratedHosts(), s.cfg.Studio.MCPAllow...))
	if err != nil {
		return nil, err
	}
	programs := mcpclient.Programs{Allowed: s.scriptNodes, Root: filepath.Join(s.dataDir, "workspaces")}
	if s.scriptNodes {
		place, err := isolate(s.dataDir)
		if err != nil {
			return nil, err
		}
		programs.Root, programs.UID, programs.GID = place.root, place.uid, place.gid
	}
	web := mcpclient.NewHTTPClient(allow)
	m := &mcpSide{s: s, calls: calls.NewStore(s.db)}
	m.servers = servers.New(servers.Options{
		DB: s.db, Log: s.events, Seal: s.box, Fingerprint: secret.Fingerprint, Client: web, Now: s.now,
		PublicBaseURL: s.cfg.MCP.PublicBaseURL, Own: m.mountedAt,
	})
	m.pool = mcpclient.NewPool(mcpclient.Options{HTTP: web, Programs: programs, Version: buildVersion(), Now: s.now, Logger: s.log})
	m.box = tools.NewBox(m.servers, m.pool, []tools.Builtin{tools.Clock(s.now)}, s.now, s.log)
	return m, nil
}

func (m *mcpSide) mountedAt() string {
	if at := m.mounted.Load(); at != nil {
		return *at
	}
	return ""
}

// syncAt is sync where this process is all there is, so that its own MCP server is at the
// address that it listens at.
func (m *mcpSide) syncAt(ctx context.Context, bound net.Addr, secure bool) error {
	if tcp, ok := bound.(*net.TCPAddr); ok {
		scheme := "http://"
		if secure {
			scheme = "https://"
		}
		m.mounted.Store(new(scheme + reachable(tcp) + m.s.cfg.Proxy.APIPrefix + "/mcp"))
	}
	return m.sync(ctx)
}

// sync makes the integrated servers follow from what is configured.
func (m *mcpSide) sync(ctx context.Context) error {
	return m.s.db.InTx(ctx, m.servers.Sync)
}

// deps are what the API has of it.
func (m *mcpSide) deps() httpapi.MCPDeps {
	return httpapi.MCPDeps{Servers: m.servers, Client: m, Calls: m.calls, Owners: map[string]calls.Owners{calls.NodeRun: nodeCalls{m}, calls.Turn: turnCalls{m}}}
}

// Test implements httpapi.MCPClient.
func (m *mcpSide) Test(ctx context.Context, row servers.Server) (httpapi.MCPTest, error) {
	spec, err := tools.SpecOf(m.servers, row)
	if err != nil {
		return httpapi.MCPTest{}, err
	}
	at := m.s.now().UTC()
	r, err := m.pool.Probe(ctx, spec)
	t := httpapi.MCPTest{
		TestedAt: at, LatencyMS: r.Info.Connected.Milliseconds(), ListMS: r.Listed.Milliseconds(), ProtocolVersion: r.Info.ProtocolVersion,
		ServerName: r.Info.Name, ServerVersion: r.Info.Version, Instructions: r.Info.Instructions, Tools: len(r.Tools),
	}
	if e, ok := errors.AsType[*mcpclient.Error](err); ok {
		t.Message, t.Kind = e.Message, string(e.Kind)
		t.NeedsOAuth = e.Kind == mcpclient.KindUnauthorized && row.Transport != servers.Stdio
		return t, nil
	}
	if err != nil {
		return t, err
	}
	t.OK, t.Message = true, "The server answers and offers "+strconv.Itoa(len(r.Tools))+" tools."
	return t, nil
}

// Tools implements httpapi.MCPClient.
func (m *mcpSide) Tools(ctx context.Context, row servers.Server) ([]httpapi.MCPTool, error) {
	spec, err := tools.SpecOf(m.servers, row)
	if err != nil {
		return nil, err
	}
	lease := m.pool.Lease()
	defer lease.Close()
	session, err := lease.Session(spec)
	var found []mcpclient.Tool
	if err == nil {
		found, err = session.Tools(ctx)
	}
	if e, ok := errors.AsType[*mcpclient.Error](err); ok {
		return nil, errs.E(errs.Unavailable, "mcp_server."+string(e.Kind), e.Message).With(err)
	}
	if err != nil {
		return nil, err
	}
	out := make([]httpapi.MCPTool, len(found))
	for i, t := range found {
		out[i] = httpapi.MCPTool{
			Name: t.Name, ModelName: tools.ModelName(row.ServerKey, t.Name), Title: t.Title, Description: t.Description, InputSchema: t.Input, OutputSchema: t.Output,
			ReadOnly: t.ReadOnly, Destructive: t.Destructive, Idempotent: t.Idempotent, OpenWorld: t.OpenWorld,
			Allowed: tools.Allowed(row, t.Name), NeedsApproval: tools.NeedsApproval(row, t),
		}
		if len(t.Input) == 0 {
			out[i].Problem = "Its input schema is missing or larger than 256 KiB, so models are not offered it."
		}
	}
	return out, nil
}

// nodeTools opens the tools of task nodes.
type nodeTools struct{ m *mcpSide }

// Open implements task.Tools.
func (n nodeTools) Open(ctx context.Context, nodeRunID int64, attempt int, serverIDs []int64, builtins []string) (task.Session, error) {
	set, err := n.m.box.Open(ctx, serverIDs, builtins)
	if err != nil {
		return nil, err
	}
	o := calls.Owner{Kind: calls.NodeRun, ID: nodeRunID, Attempt: int32(attempt)}
	return &nodeSession{Set: set, recorder: n.m.calls.Recorder(o, n.m.calls.FenceNode(o), nodeCalls(n).Announce)}, nil
}

type nodeSession struct {
	*tools.Set
	recorder toolloop.Recorder
}

// Recorder implements task.Session.
func (n *nodeSession) Recorder() toolloop.Recorder { return n.recorder }

// nodeCalls are calls whose owners are node runs.
type nodeCalls struct{ m *mcpSide }

// Decide implements calls.Owners.
func (n nodeCalls) Decide(ctx context.Context, tx *postgres.Tx, id int64, f func(ctx context.Context) (bool, error)) error {
	return n.m.s.engine.DecideTx(ctx, tx, id, f)
}

// toolPayload is what node:task:tool says of a call. Its result is fetched by
// whoever wants it.
type toolPayload struct {
	TaskID      int64  `json:"task_id"`
	ToolCallID  int64  `json:"tool_call_id"`
	Attempt     int32  `json:"attempt"`
	Cycle       int32  `json:"cycle"`
	Position    int32  `json:"position"`
	Name        string `json:"name"`
	ServerKey   string `json:"server_key"`
	Tool        string `json:"tool"`
	Status      string `json:"status"`
	Error       string `json:"error,omitempty"`
	ResultBytes int64  `json:"result_bytes"`
}

// Announce implements calls.Owners: the event goes to the node's stream, and to
// lists of what waits if the call does, or did.
func (n nodeCalls) Announce(ctx context.Context, tx *postgres.Tx, c *calls.Row) error {
	node, err := n.m.s.engine.NodeRun(ctx, tx, c.OwnerID)
	if err != nil {
		return err
	}
	rooms := run.RoomsOfNode(&node)
	if c.Status == string(toolloop.Waiting) || c.DecidedAt != nil || c.ApprovalRequired {
		rooms = append(rooms, "studio")
	}
	return n.m.s.events.Append(tx, event.Draft{
		Stream: run.StreamOfNode(&node), Type: "node:task:tool", EntityKind: "tool_call", EntityID: strconv.FormatInt(c.ID, 10), Rooms: rooms,
		RequestID: node.RequestID, CorrelationID: node.CorrelationID, Runtime: run.RuntimeOf(&node, nil, "inline"), // where the tools are
		Payload: toolPayload{
			TaskID: node.ID, ToolCallID: c.ID, Attempt: c.Attempt, Cycle: c.Cycle, Position: c.Position, Name: c.Name, ServerKey: c.ServerKey,
			Tool: c.Tool, Status: c.Status, Error: c.Error, ResultBytes: c.ResultBytes,
		},
	})
}

// inWorker tells of nodes that have to work in the worker: their tools, the secrets
// of these and the record of their calls are there, or the indexes.
func inWorker(k string, config json.RawMessage) bool {
	return k == kind.RAG || k == kind.RAGIndex || (k == kind.Task && task.UsesTools(config))
}

// waits tells of a node whose tool calls wait for a decision.
func (m *mcpSide) waits(ctx context.Context, q postgres.Querier, n *run.NodeRun) (bool, error) {
	return m.calls.Waits(ctx, q, calls.Owner{Kind: calls.NodeRun, ID: n.ID})
}

// ended closes the tool calls of a node that ended.
func (m *mcpSide) ended(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) error {
	return m.calls.Close(ctx, tx, calls.Owner{Kind: calls.NodeRun, ID: n.ID}, nodeCalls{m}.Announce)
}
