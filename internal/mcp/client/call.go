package client

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Call calls a tool. onProgress, which may be nil, is told what the server tells
// meanwhile. When ctx ends, the server is told that the call is cancelled. Errors are
// *Error; a tool that failed by itself is a Result with IsError.
func (s *Session) Call(ctx context.Context, tool string, arguments json.RawMessage, onProgress func(Progress)) (Result, error) {
	l, err := s.connected(ctx)
	if err != nil {
		return Result{}, err
	}
	params := &mcp.CallToolParams{Name: tool, Meta: mcp.Meta{}}
	if len(arguments) > 0 {
		params.Arguments = arguments
	}
	if onProgress != nil {
		token, forget := s.follow(onProgress)
		defer forget()
		params.SetProgressToken(token)
	}
	res, err := l.cs.CallTool(ctx, params)
	if err != nil {
		return Result{}, s.failure(ctx, l, "the tool "+tool, err)
	}
	return resultOf(res), nil
}

// failure explains a failed exchange and drops a link that broke.
func (s *Session) failure(ctx context.Context, l *link, asked string, err error) error {
	e := s.spec.explain(ctx, asked, err)
	if e.Kind == KindClosed || e.Kind == KindUnreachable {
		s.lost(l)
		if l.program != nil {
			if end := l.program.ended(); end != "" {
				e.Message = end
			}
		}
	}
	return e
}

// follow makes a token for the progress of one call.
func (s *Session) follow(f func(Progress)) (token string, forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	token = "call-" + strconv.FormatInt(s.number, 10)
	s.calls[token] = f
	return token, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.calls, token)
	}
}

func (s *Session) progress(p *mcp.ProgressNotificationParams) {
	token, _ := p.ProgressToken.(string)
	s.mu.Lock()
	f := s.calls[token]
	s.mu.Unlock()
	if f != nil {
		f(Progress{Done: p.Progress, Total: p.Total, Message: clip(p.Message, 500)})
	}
}

// resultOf makes one text of what a tool gave, for that is what models take.
func resultOf(res *mcp.CallToolResult) Result {
	out := Result{IsError: res.IsError}
	var texts []string
	for _, c := range res.Content {
		if t := textOf(c); t != "" {
			texts = append(texts, t)
		}
	}
	out.Text = strings.ToValidUTF8(strings.Join(texts, "\n"), "\uFFFD")
	if res.StructuredContent != nil {
		if raw, err := json.Marshal(res.StructuredContent); err == nil {
			out.Structured = raw
		}
	}
	if out.Text == "" && out.Structured != nil {
		out.Text = string(out.Structured)
	}
	return out
}

func textOf(c mcp.Content) string {
	switch c := c.(type) {
	case *mcp.TextContent:
		return c.Text
	case *mcp.ImageContent:
		return fmt.Sprintf("[image %s, %d bytes]", c.MIMEType, len(c.Data))
	case *mcp.AudioContent:
		return fmt.Sprintf("[audio %s, %d bytes]", c.MIMEType, len(c.Data))
	case *mcp.ResourceLink:
		return fmt.Sprintf("[resource %s %s]", c.Name, c.URI)
	case *mcp.EmbeddedResource:
		if c.Resource == nil {
			return ""
		}
		if c.Resource.Text != "" {
			return c.Resource.Text
		}
		return fmt.Sprintf("[resource %s, %d bytes]", c.Resource.URI, len(c.Resource.Blob))
	}
	return ""
}
