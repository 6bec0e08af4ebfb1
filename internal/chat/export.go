package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/postgres"
)

// exportPage is how many messages are in memory at a time.
const exportPage = 200

// Export writes the conversation that a thread shows: as Markdown, or as JSON with
// everything that is known of each message. Errors: not_found; after the first byte
// those of the writer and the database.
func (s *Service) Export(ctx context.Context, threadID int64, asJSON bool) (Thread, func(ctx context.Context, w io.Writer) error, error) {
	t, err := s.get(ctx, s.o.DB, threadID)
	if err != nil {
		return t, nil, err
	}
	return t, func(ctx context.Context, w io.Writer) error {
		return s.snapshot(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			if asJSON {
				return s.exportJSON(ctx, tx, &t, w)
			}
			return s.exportMarkdown(ctx, tx, &t, w)
		})
	}, nil
}

// eachMessage walks through the conversation from its beginning.
func (s *Service) eachMessage(ctx context.Context, tx *postgres.Tx, t *Thread, f func(m *Message) error) error {
	if t.ActiveBranchID == nil {
		return nil
	}
	b, err := s.q.GetBranch(ctx, tx, *t.ActiveBranchID)
	if err != nil {
		return fmt.Errorf("load branch %d: %w", *t.ActiveBranchID, err)
	}
	for at := int32(0); ; {
		rows, err := s.after(ctx, tx, b.ID, b.TipDepth, at, exportPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		for i := range rows {
			if err := f(&rows[i]); err != nil {
				return err
			}
		}
		at = rows[len(rows)-1].Depth
	}
}

func (s *Service) exportJSON(ctx context.Context, tx *postgres.Tx, t *Thread, w io.Writer) error {
	head, err := json.Marshal(ViewThread(t, false))
	if err != nil {
		return fmt.Errorf("encode thread %d: %w", t.ID, err)
	}
	if _, err := fmt.Fprintf(w, `{"format":"llmctl-thread","version":1,"exported_at":%q,"thread":%s,"messages":[`, s.o.Now().UTC().Format(time.RFC3339), head); err != nil {
		return err
	}
	separator := "\n"
	err = s.eachMessage(ctx, tx, t, func(m *Message) error {
		raw, err := json.Marshal(ViewMessage(m))
		if err != nil {
			return fmt.Errorf("encode message %d: %w", m.ID, err)
		}
		_, err = fmt.Fprintf(w, "%s%s", separator, raw)
		separator = ",\n"
		return err
	})
	if err == nil {
		_, err = io.WriteString(w, "\n]}\n")
	}
	return err
}

func (s *Service) exportMarkdown(ctx context.Context, tx *postgres.Tx, t *Thread, w io.Writer) error {
	if _, err := fmt.Fprintf(w, "# %s\n", t.Title); err != nil {
		return err
	}
	return s.eachMessage(ctx, tx, t, func(m *Message) error {
		v := ViewMessage(m)
		who := "User"
		if v.Role == roleAssistant {
			who = "Assistant"
		}
		if v.Status == messagePartial {
			who += " (cut short)"
		}
		_, err := fmt.Fprintf(w, "\n## %s · %s\n\n%s", who, v.CreatedAt.UTC().Format("2006-01-02 15:04 MST"), markdownOf(v.Parts))
		return err
	})
}

func markdownOf(parts []MessagePart) string {
	var b strings.Builder
	for _, p := range parts {
		switch {
		case p.Type == PartText:
			b.WriteString(strings.TrimRight(p.Text, "\n") + "\n")
		case p.Attachment != nil:
			fmt.Fprintf(&b, "*File: %s*\n\n", p.Attachment.Name)
		case p.ToolCall != nil:
			b.WriteString("\n*Tool: " + p.ToolCall.Name + "*\n\n" + fence("json", string(p.ToolCall.Arguments)) + "\n")
		case p.ToolResult != nil:
			b.WriteString(fence("", p.ToolResult.Content) + "\n")
		case p.Citation != nil:
			fmt.Fprintf(&b, "*[%d] %s*\n\n", p.Citation.Number, p.Citation.Path)
		case p.Compaction != nil:
			fmt.Fprintf(&b, "*%d earlier messages were folded into a summary for the model.*\n\n", p.Compaction.Messages)
		}
	}
	return b.String()
}

// fence makes a block of code whose fence is longer than any in it.
func fence(language, text string) string {
	ticks := "```"
	for strings.Contains(text, ticks) {
		ticks += "`"
	}
	return ticks + language + "\n" + strings.TrimRight(text, "\n") + "\n" + ticks + "\n"
}
