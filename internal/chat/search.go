package chat

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
)

// SnippetPiece is a piece of what was found.
type SnippetPiece struct {
	Text string `json:"text"`
	Hit  bool   `json:"hit" doc:"It is what was looked for"`
}

// MessageHit is a message that was found.
type MessageHit struct {
	MessageID    int64          `json:"message_id"`
	ThreadID     int64          `json:"thread_id"`
	ThreadTitle  string         `json:"thread_title"`
	ThreadStatus string         `json:"thread_status" enum:"active,archived"`
	Role         string         `json:"role" enum:"user,assistant"`
	Depth        int32          `json:"depth"`
	Snippet      []SnippetPiece `json:"snippet"`
	CreatedAt    time.Time      `json:"created_at"`
}

// SearchQuery is what is looked for.
type SearchQuery struct {
	Text     string
	ThreadID int64 // 0: all
	BeforeID int64
	Limit    int32
}

// The marks of hits in what the database gives; they cannot be in a text.
const (
	hitBegin = "\x02"
	hitEnd   = "\x03"
)

// searchSQL looks for the words as they are and in their English stems. The headline
// is made of the page's rows only, and of the beginning of long texts.
const searchSQL = `
WITH q AS (SELECT websearch_to_tsquery('simple', $1) || websearch_to_tsquery('english', $1) AS query),
hits AS (
	SELECT m.id, m.thread_id, t.title, t.status, m.role, m.depth, m.created_at, m.content
	FROM q, message m JOIN thread t ON t.id = m.thread_id
	WHERE m.search @@ q.query AND t.delete_requested_at IS NULL AND t.project_id = 1
	  AND ($2::bigint = 0 OR m.thread_id = $2) AND ($3::bigint = 0 OR m.id < $3)
	ORDER BY m.id DESC LIMIT $4
)
SELECT h.id, h.thread_id, h.title, h.status, h.role, h.depth, h.created_at,
	ts_headline('english', left(h.content, 50000), q.query, 'StartSel=' || chr(2) || ', StopSel=' || chr(3) || ', MaxWords=30, MinWords=12, MaxFragments=2, FragmentDelimiter=" … "')
FROM hits h, q ORDER BY h.id DESC`

// Search finds messages, the newest first. Error: invalid.
func (s *Service) Search(ctx context.Context, q SearchQuery) ([]MessageHit, error) {
	q.Text = strings.TrimSpace(q.Text)
	if n := utf8.RuneCountInString(q.Text); n == 0 || n > 500 {
		return nil, errs.E(errs.Invalid, "search.query", "The search needs 1 to 500 characters.",
			errs.Detail{Location: "query.q", Message: fmt.Sprintf("has %d characters", n)})
	}
	rows, err := s.o.DB.Query(ctx, searchSQL, q.Text, q.ThreadID, q.BeforeID, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("search messages: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (MessageHit, error) {
		var h MessageHit
		var headline string
		err := row.Scan(&h.MessageID, &h.ThreadID, &h.ThreadTitle, &h.ThreadStatus, &h.Role, &h.Depth, &h.CreatedAt, &headline)
		h.Snippet = pieces(headline)
		return h, err
	})
	if err != nil {
		return nil, fmt.Errorf("search messages: %w", err)
	}
	return out, nil
}

// pieces takes a headline apart at its marks.
func pieces(headline string) []SnippetPiece {
	out := []SnippetPiece{}
	for headline != "" {
		before, rest, found := strings.Cut(headline, hitBegin)
		if before = strings.Join(strings.Fields(before), " "); before != "" || found {
			out = appendPiece(out, keepEdges(headline[:len(headline)-len(rest)], before), false)
		}
		if !found {
			break
		}
		hit, after, _ := strings.Cut(rest, hitEnd)
		out = appendPiece(out, hit, true)
		headline = after
	}
	return out
}

// keepEdges keeps one space where there was white space at an edge.
func keepEdges(raw, text string) string {
	raw = strings.TrimSuffix(raw, hitBegin)
	if text == "" {
		if raw != "" {
			return " "
		}
		return ""
	}
	if strings.TrimLeft(raw, " \t\r\n") != raw {
		text = " " + text
	}
	if strings.TrimRight(raw, " \t\r\n") != raw {
		text += " "
	}
	return text
}

func appendPiece(out []SnippetPiece, text string, hit bool) []SnippetPiece {
	if text == "" {
		return out
	}
	return append(out, SnippetPiece{Text: text, Hit: hit})
}
