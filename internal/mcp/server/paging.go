package server

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// limits bound the rows of a list.
type limits struct{ usual, most int }

// PageInput are the arguments of a list.
type PageInput struct {
	Limit  int    `json:"limit,omitempty" jsonschema:"How many items at most"`
	Cursor string `json:"cursor,omitempty" max:"100" jsonschema:"next_cursor of the page before; absent: the first page"`
}

// PageOutput is a list's answer.
type PageOutput[T any] struct {
	Count      int     `json:"count" jsonschema:"How many items this page has"`
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor" jsonschema:"Give it as cursor for the next page; null: there is no more"`
}

// rows is how many to ask the database for: one more than the page has.
func (p PageInput) rows(l limits) int32 { return int32(p.size(l)) + 1 }

func (p PageInput) size(l limits) int {
	if p.Limit <= 0 {
		return l.usual
	}
	return min(p.Limit, l.most)
}

// before reads the cursor: the id before which the page begins, 0 for the first.
func (p PageInput) before() (int64, error) {
	if p.Cursor == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(p.Cursor, "b"), 36, 64)
	if err != nil || !strings.HasPrefix(p.Cursor, "b") || id <= 0 {
		return 0, badCursor()
	}
	return id, nil
}

func badCursor() error {
	return errs.E(errs.Invalid, "mcp.invalid_cursor", "The cursor is not one that this list gave.",
		errs.Detail{Location: "arguments.cursor:", Message: "use next_cursor of the page before, or leave it out"})
}

// paged cuts a list that was asked for one more row than the page has.
func paged[R, T any](rows []R, size int, id func(*R) int64, view func(*R) T) PageOutput[T] {
	out := PageOutput[T]{Items: make([]T, 0, len(rows))}
	for i := range rows {
		if i == size {
			cursor := "b" + strconv.FormatInt(id(&rows[i-1]), 36)
			out.NextCursor = &cursor
			break
		}
		out.Items = append(out.Items, view(&rows[i]))
	}
	out.Count = len(out.Items)
	return out
}

// nameCursor is a position in a list by name.
func nameCursor(name string) string { return base64.RawURLEncoding.EncodeToString([]byte("n:" + name)) }

// afterName reads it; the empty cursor is the beginning.
func afterName(cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	name, ok := strings.CutPrefix(string(raw), "n:")
	if err != nil || !ok || len(name) > 128 {
		return "", badCursor()
	}
	return name, nil
}
