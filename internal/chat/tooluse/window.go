package tooluse

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/llm"
)

// window keeps what tools add to a conversation within their share: the newest results
// are whole as far as there is room, older ones are shortened before them.
type window struct {
	llm.Provider
	tokens int // schemas and results may have
	asked  int // messages that are not of the loop
	calls  int // of the model
	used   int // tokens of schemas and results, at the last call
}

// Chat implements llm.Provider.
func (w *window) Chat(ctx context.Context, req llm.Request, emit func(llm.Delta) error) (llm.Response, error) {
	schemas := 0
	for _, t := range req.Tools {
		schemas += chat.Estimate(t.Name) + chat.Estimate(t.Description) + chat.Estimate(string(t.Schema))
	}
	// Schemas cannot be shortened; however long they are, results have half of the share.
	room := max(w.tokens-schemas, w.tokens/2)
	var results int
	req.Messages, results = shorten(req.Messages, w.asked, room)
	w.calls++
	w.used = schemas + results
	return w.Provider.Chat(ctx, req, emit)
}

// shorten fits the results from a message on into some tokens. What it changes, it
// copies.
func shorten(messages []llm.Message, from, room int) (out []llm.Message, used int) {
	out = slices.Clone(messages)
	end := len(out)
	for end > from {
		begin := end
		for begin > from && out[begin-1].ToolResult != nil {
			begin--
		}
		if begin == end { // the answer that asked
			end--
			continue
		}
		n := share(out[begin:end], room)
		used, room = used+n, max(room-n, 0)
		end = begin
	}
	return out, used
}

// share divides room among the results of one answer: the small ones are whole, the
// large ones have equal parts of what is left.
func share(group []llm.Message, room int) (used int) {
	order := make([]int, len(group))
	cost := make([]int, len(group))
	for i := range group {
		order[i], cost[i] = i, chat.Estimate(group[i].ToolResult.Content)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(cost[a], cost[b]) })
	for k, i := range order {
		part := max(room-used, 0) / (len(order) - k)
		if cost[i] > part {
			short := *group[i].ToolResult
			short.Content = head(short.Content, part)
			group[i].ToolResult = &short
			cost[i] = chat.Estimate(short.Content)
		}
		used += cost[i]
	}
	return used
}

// cutTokens is what the note on a cut takes.
const cutTokens = 24

// head is as much of the beginning of a text as some tokens hold, with a note.
func head(text string, tokens int) string {
	tokens = max(tokens-cutTokens, 0)
	quarters, at := 0, len(text)
	for i, r := range text {
		if quarters += chat.EstimateQuarters(r); quarters > 4*tokens {
			at = i
			break
		}
	}
	if at == 0 {
		return fmt.Sprintf("[left out: %d bytes; there is no room for it in the window]", len(text))
	}
	return text[:at] + fmt.Sprintf("\n[cut here: the first %d of %d bytes; there is no room for more in the window]", at, len(text))
}
