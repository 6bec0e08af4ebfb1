package chat_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// reader is a client that loads a thread and goes on with what comes after.
type reader struct {
	text    string
	attempt int32
	turn    int64
	at      int64 // of the turn's stream
	ended   bool
}

// load is a refresh at some moment.
func (r *reader) load(t *testing.T, b *testBundle, threadID, turnID int64) {
	t.Helper()
	d, err := b.service.Get(t.Context(), threadID, 10)
	require.NoError(t, err)
	*r = reader{turn: turnID}
	if d.Live != nil {
		require.Equal(t, turnID, d.Live.TurnID)
		r.text, r.attempt, r.at = d.Live.Text, d.Live.Attempt, d.Live.AsOf.Sequence
		return
	}
	for _, m := range d.Page.Items {
		if m.TurnID != nil && *m.TurnID == turnID && m.Role == "assistant" && m.Status != "pending" {
			r.text, r.ended = m.Content, true
		}
	}
}

// follow takes what came since, as the stream's events say it.
func (r *reader) follow(t *testing.T, b *testBundle) {
	t.Helper()
	if r.ended {
		return
	}
	rows, err := event.ReadStream(t.Context(), b.db, chat.TurnStream(r.turn), r.at, 10_000)
	require.NoError(t, err)
	for _, row := range rows {
		require.Equal(t, r.at+1, row.Envelope.Sequence)
		r.at = row.Envelope.Sequence
		var p struct {
			Attempt int32  `json:"attempt"`
			Offset  int    `json:"offset"`
			Text    string `json:"text"`
		}
		require.NoError(t, json.Unmarshal(row.Envelope.Payload, &p))
		switch {
		case p.Attempt < r.attempt:
			continue
		case p.Attempt > r.attempt:
			r.attempt, r.text = p.Attempt, ""
		}
		require.Equal(t, len([]rune(r.text)), p.Offset)
		r.text += p.Text
	}
}

// TestAReadersTextIsTheStoredTextWhateverDies has readers refresh at random moments
// while workers are killed at random moments; at the end each has what is stored.
func TestAReadersTextIsTheStoredTextWhateverDies(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	b := setup(t)
	words := make([]string, 120)
	for i := range words {
		words[i] = fmt.Sprintf("%dß🌍 ", i)
	}
	b.server.On("", llmtest.Reply{Chunks: words, Every: 5 * time.Millisecond})
	var current *process
	for round := range 8 {
		th := b.thread(t, chat.ThreadFields{})
		if current == nil {
			current = b.start(t, b.direct())
		}
		p := b.post(t, th.ID, chat.Post{Message: fmt.Sprint("round ", round)})
		readers := make([]reader, 3)
		kills := random.IntN(3) // at most two: three fail the turn
		for ended := false; !ended; {
			for i := range readers {
				if random.IntN(3) == 0 || readers[i].turn == 0 {
					readers[i].load(t, b, th.ID, p.Turn.ID)
				} else {
					readers[i].follow(t, b)
				}
			}
			v := b.turn(t, th.ID, p.Turn.ID)
			if kills > 0 && v.Status == chat.Running && v.Attempt > 0 && random.IntN(4) == 0 {
				kills--
				current.kill()
				<-current.dead
				b.bury(t, current)
				current = b.start(t, b.direct())
			}
			ended = v.FinishedAt != nil
		}
		v := b.turn(t, th.ID, p.Turn.ID)
		require.Equal(t, chat.Succeeded, v.Status, "%+v", v.Error)
		stored := b.message(t, th.ID, v.AssistantMessageID).Content
		require.Equal(t, strings.Join(words, ""), stored)
		for i := range readers {
			readers[i].follow(t, b)
			require.Equal(t, stored, readers[i].text, "reader %d of round %d", i, round)
		}
	}
}
