package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/toolloop"
	"github.com/llmctl/studio/internal/mcp/client"
	"github.com/llmctl/studio/internal/mcp/servers"
)

// Registry keeps servers; servers.Registry is one.
type Registry interface {
	Pick(ctx context.Context, ids []int64) (found []servers.Server, missing []int64, err error)
	Secrets(s servers.Server) (servers.Secrets, error)
	Token(ctx context.Context, id int64) (string, error)
	Warnings(ctx context.Context, of []servers.Server) (map[int64][]string, error)
}

// Box makes sets of tools.
type Box struct {
	servers  Registry
	pool     *client.Pool
	builtins []Builtin
	log      *slog.Logger
	now      func() time.Time
}

// NewBox makes a box.
func NewBox(registry Registry, pool *client.Pool, builtins []Builtin, now func() time.Time, log *slog.Logger) *Box {
	return &Box{servers: registry, pool: pool, builtins: builtins, now: now, log: log}
}

// MaxServers bounds how many servers one set may have, MaxTools how many tools: no
// provider takes more.
const (
	MaxServers = 32
	MaxTools   = 128
)

// Set is the tools of one loop. Close it when the loop ends: programs end with it.
type Set struct {
	box      *Box
	lease    *client.Lease
	servers  []*source
	builtins []Builtin
	warnings []string
	lost     []string // why chosen servers cannot be used at all
}

// source is a server of a set.
type source struct {
	row     servers.Server
	session *client.Session
	down    string // why it was of no use when it was asked last; told once
}

// Open makes the set of some servers and built-in tools. What a server lacks is a
// warning, not an error; a server that does not exist, or is disabled, likewise.
// Errors: invalid for unknown built-in tools or too many servers.
func (b *Box) Open(ctx context.Context, serverIDs []int64, builtins []string) (*Set, error) {
	if len(serverIDs) > MaxServers {
		return nil, errs.Ef(errs.Invalid, "tools.too_many_servers", "%d MCP servers are chosen; at most %d are accepted.", len(serverIDs), MaxServers)
	}
	s := &Set{box: b, lease: b.pool.Lease()}
	for _, name := range builtins {
		found, ok := b.builtin(name)
		if !ok {
			return nil, errs.Ef(errs.Invalid, "tools.unknown", "There is no built-in tool %q. Known are %s.", name, strings.Join(b.BuiltinNames(), ", "))
		}
		s.builtins = append(s.builtins, found)
	}
	if err := s.choose(ctx, serverIDs); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Set) choose(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	rows, missing, err := s.box.servers.Pick(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range missing {
		s.warnings = append(s.warnings, fmt.Sprintf("There is no MCP server %d; it was left out.", id))
		s.lost = append(s.lost, fmt.Sprintf("There is no MCP server %d any more.", id))
	}
	warnings, err := s.box.servers.Warnings(ctx, rows)
	if err != nil {
		return err
	}
	for _, row := range rows {
		for _, w := range warnings[row.ID] {
			s.warnings = append(s.warnings, row.ServerKey+": "+w)
		}
		if !row.Enabled {
			s.lost = append(s.lost, fmt.Sprintf("The MCP server %s is disabled.", row.ServerKey))
			continue
		}
		spec, err := SpecOf(s.box.servers, row)
		if err != nil {
			s.lose(errs.As(err).Message)
			continue
		}
		session, err := s.lease.Session(spec)
		if err != nil {
			s.lose(explain(err))
			continue
		}
		s.servers = append(s.servers, &source{row: row, session: session})
	}
	return nil
}

// lose notes why a server has no tools.
func (s *Set) lose(why string) {
	s.warnings, s.lost = append(s.warnings, why), append(s.lost, why)
}

// Unusable tells why chosen servers cannot be used, as of when Tools was asked last.
func (s *Set) Unusable() []string {
	out := slices.Clone(s.lost)
	for _, src := range s.servers {
		if src.down != "" {
			out = append(out, src.down)
		}
	}
	return out
}

// Absent tells why the tools of a server are not on offer, as of when Tools was asked
// last; "" when the server answers, or is not one of the set.
func (s *Set) Absent(r toolloop.Ref) string {
	for _, src := range s.servers {
		if src.row.ID == r.ServerID {
			return src.down
		}
	}
	return ""
}

// SpecOf says how a server is reached, secrets included.
func SpecOf(r Registry, row servers.Server) (client.Spec, error) {
	secrets, err := r.Secrets(row)
	if err != nil {
		return client.Spec{}, err
	}
	c := servers.ConfigOf(row)
	spec := client.Spec{
		ID: row.ID, Revision: row.Revision, Key: row.ServerKey, Transport: row.Transport, URL: c.URL, Command: c.Command, Args: c.Args,
		Headers: secrets.Headers, Env: secrets.Env,
	}
	if row.OauthCiphertext != nil {
		spec.Token = func(ctx context.Context) (string, error) { return r.Token(ctx, row.ID) }
	}
	return spec, nil
}

// Warnings are what people should know of the set, also of what happened since it
// was asked last.
func (s *Set) Warnings() []string {
	out := s.warnings
	s.warnings = nil
	return out
}

// Close ends the set.
func (s *Set) Close() { s.lease.Close() }

// Tools implements toolloop.Toolset. A server that cannot be asked has no tools; it
// is asked again before the next answer.
func (s *Set) Tools(ctx context.Context) ([]toolloop.Tool, error) {
	var out []toolloop.Tool
	for _, b := range s.builtins {
		out = append(out, b.tool())
	}
	lists := make([][]client.Tool, len(s.servers))
	failures := make([]error, len(s.servers))
	var wg sync.WaitGroup
	for i, src := range s.servers {
		wg.Go(func() { lists[i], failures[i] = src.session.Tools(ctx) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for i, src := range s.servers {
		s.note(src, failures[i])
		for _, t := range lists[i] {
			if !Allowed(src.row, t.Name) || len(t.Input) == 0 {
				continue
			}
			if len(out) == MaxTools {
				s.warnings = append(s.warnings, fmt.Sprintf("The chosen servers offer more than %d tools; the rest were left out. Allow fewer.", MaxTools))
				return out, nil
			}
			out = append(out, toolOf(src.row, t))
		}
	}
	return out, nil
}

func (s *Set) note(src *source, err error) {
	why := ""
	if err != nil {
		why = explain(err)
	}
	if why != "" && src.down == "" {
		s.warnings = append(s.warnings, why+" Its tools are not offered.")
	}
	src.down = why
}

func explain(err error) string {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Message
	}
	return errs.As(err).Message
}

// Allowed reports whether a server's tool may be used.
func Allowed(row servers.Server, tool string) bool {
	return row.AllowedTools == nil || slices.Contains(row.AllowedTools, tool)
}

// NeedsApproval reports whether calls of a tool wait for a person.
func NeedsApproval(row servers.Server, t client.Tool) bool {
	switch {
	case slices.Contains(row.ApprovalTools, t.Name), row.Approval == servers.ApproveAlways:
		return true
	case row.Approval == servers.ApproveWrites:
		return !t.ReadOnly
	}
	return false
}

func toolOf(row servers.Server, t client.Tool) toolloop.Tool {
	description := t.Description
	if description == "" {
		description = t.Title
	}
	return toolloop.Tool{
		Tool:       llm.Tool{Name: ModelName(row.ServerKey, t.Name), Description: description, Schema: t.Input},
		Ref:        toolloop.Ref{ServerID: row.ID, Server: row.ServerKey, Tool: t.Name},
		Repeatable: t.ReadOnly || t.Idempotent, NeedsApproval: NeedsApproval(row, t),
		Timeout: time.Duration(row.TimeoutSeconds * float64(time.Second)),
	}
}

// Call implements toolloop.Toolset.
func (s *Set) Call(ctx context.Context, t toolloop.Tool, arguments json.RawMessage, tell func(string)) toolloop.Outcome {
	if t.Ref.Server == "" {
		return s.callBuiltin(ctx, t.Ref.Tool, arguments)
	}
	for _, src := range s.servers {
		if src.row.ID == t.Ref.ServerID {
			return s.callServer(ctx, src, t, arguments, tell)
		}
	}
	return toolloop.Outcome{IsError: true, Code: toolloop.CodeUnknownTool, Content: "The server of this tool is not available any more."}
}

func (s *Set) callServer(ctx context.Context, src *source, t toolloop.Tool, arguments json.RawMessage, tell func(string)) toolloop.Outcome {
	progress := s.sparing(tell)
	res, err := src.session.Call(ctx, t.Ref.Tool, arguments, progress)
	if e, ok := errors.AsType[*client.Error](err); ok && again(ctx, e, t) {
		s.box.log.WarnContext(ctx, "calling a tool again, the connection broke", "server", t.Ref.Server, "tool", t.Ref.Tool, "error", e.Message)
		res, err = src.session.Call(ctx, t.Ref.Tool, arguments, progress)
	}
	if err == nil {
		out := toolloop.Outcome{Content: res.Text, IsError: res.IsError}
		if res.IsError {
			out.Code = toolloop.CodeTool
		}
		return out
	}
	out := toolloop.Outcome{IsError: true, Code: toolloop.CodeServer, Content: explain(err)}
	e, ok := errors.AsType[*client.Error](err)
	if ok && e.Sent && !t.Repeatable && (e.Kind == client.KindClosed || e.Kind == client.KindUnreachable) {
		out.Unknown, out.Code = true, toolloop.CodeUnknown
		out.Content += " Whether the tool did what it was asked is unknown; do not simply call it again, find out first."
	}
	return out
}

// How often a call's progress is passed on: a server may tell of every byte.
const (
	progressEvery = 250 * time.Millisecond
	progressMost  = 200
)

func (s *Set) sparing(tell func(string)) func(client.Progress) {
	var mu sync.Mutex
	var last time.Time
	told := 0
	return func(p client.Progress) {
		mu.Lock()
		defer mu.Unlock()
		now := s.box.now()
		complete := p.Total > 0 && p.Done >= p.Total
		if told >= progressMost || now.Sub(last) < progressEvery && !complete {
			return
		}
		last, told = now, told+1
		tell(progressText(p))
	}
}

// again reports whether a call may be made once more after a failure: the server
// never got it, or its tool says that this does no harm.
func again(ctx context.Context, e *client.Error, t toolloop.Tool) bool {
	if ctx.Err() != nil {
		return false
	}
	broke := e.Kind == client.KindClosed || e.Kind == client.KindUnreachable
	return broke && (t.Repeatable || !e.Sent)
}

func progressText(p client.Progress) string {
	text := fmt.Sprintf("%g", p.Done)
	if p.Total > 0 {
		text = fmt.Sprintf("%g of %g", p.Done, p.Total)
	}
	if p.Message != "" {
		text += ": " + p.Message
	}
	return text
}
