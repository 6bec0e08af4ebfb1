package chat

import (
	"context"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
)

// Stream is the stream and the room of a thread's events.
func Stream(threadID int64) string { return "thread:" + strconv.FormatInt(threadID, 10) }

// TurnStream is the stream of a turn's text.
func TurnStream(turnID int64) string { return "turn:" + strconv.FormatInt(turnID, 10) }

// What happened to a thread.
const (
	changeCreated  = "created"
	changeUpdated  = "updated"
	changeArchived = "archived"
	changeRestored = "restored"
	changeCleared  = "cleared"
	changeBranch   = "branch" // another branch is shown
	changeDeleted  = "deleted"
	changePurged   = "purged"
)

type threadPayload struct {
	ThreadID int64      `json:"thread_id"`
	Change   string     `json:"change"`
	Thread   ThreadView `json:"thread"`
}

func (s *Service) announceThread(tx *postgres.Tx, t *Thread, busy bool, change string) error {
	id := strconv.FormatInt(t.ID, 10)
	err := s.o.Log.Append(tx, event.Draft{
		Stream: Stream(t.ID), Type: "thread:thread:updated", EntityKind: "thread", EntityID: id, Rooms: []string{Stream(t.ID), "studio"},
		Payload: threadPayload{ThreadID: t.ID, Change: change, Thread: ViewThread(t, busy)},
	})
	if err != nil {
		return fmt.Errorf("announce thread %d: %w", t.ID, err)
	}
	return nil
}

// maxAnnounced bounds the text of messages in an event; a longer one is not in it, and
// whoever needs it has streamed it or loads it.
const maxAnnounced = 16 << 10

type turnPayload struct {
	ThreadID int64         `json:"thread_id"`
	TurnID   int64         `json:"turn_id"`
	Status   string        `json:"status"`
	Attempt  int32         `json:"attempt"`
	Turn     TurnView      `json:"turn"`
	Messages []MessageView `json:"messages"` // new or changed, unless they are long
	// Characters is how long the text of the answer is, once the turn has ended. The text
	// comes on a stream of its own, so its last pieces may come after this.
	Characters *int64      `json:"characters,omitempty"`
	Thread     *ThreadView `json:"thread,omitempty"`
}

// announceTurn appends what a turn is by now, with the messages that changed.
func (s *Service) announceTurn(tx *postgres.Tx, t *Turn, thread *Thread, messages ...*Message) error {
	kind := "thread:turn:updated"
	if t.FinishedAt != nil {
		kind = "thread:turn:completed"
	}
	p := turnPayload{ThreadID: t.ThreadID, TurnID: t.ID, Status: t.Status, Attempt: t.Attempt, Turn: ViewTurn(t), Messages: []MessageView{}}
	for _, m := range messages {
		if m == nil {
			continue
		}
		if t.FinishedAt != nil && m.ID == t.AssistantMessageID {
			p.Characters = new(int64(utf8.RuneCountInString(m.Content)))
		}
		if len(m.Parts) <= maxAnnounced {
			p.Messages = append(p.Messages, ViewMessage(m))
		}
	}
	if thread != nil {
		p.Thread = new(ViewThread(thread, t.FinishedAt == nil))
	}
	err := s.o.Log.Append(tx, event.Draft{
		Stream: Stream(t.ThreadID), Type: kind, EntityKind: "turn", EntityID: strconv.FormatInt(t.ID, 10), Rooms: []string{Stream(t.ThreadID), "studio"},
		RequestID: t.RequestID, CorrelationID: t.CorrelationID, Payload: p,
	})
	if err != nil {
		return fmt.Errorf("announce turn %d: %w", t.ID, err)
	}
	return nil
}

// lastSequence is how far a stream is in the snapshot of q.
func (s *Service) lastSequence(ctx context.Context, q postgres.Querier, stream string) (StreamPosition, error) {
	n, err := s.q.LastSequence(ctx, q, stream)
	if err != nil {
		return StreamPosition{}, fmt.Errorf("read head of %s: %w", stream, err)
	}
	return StreamPosition{Stream: stream, Sequence: n}, nil
}
