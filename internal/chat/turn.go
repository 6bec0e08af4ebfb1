package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Bounds of a message.
const (
	maxMessage     = 200_000 // characters
	maxAttachments = 20
)

// Post is a message that is to be answered.
type Post struct {
	Message       string
	AttachmentIDs []int64
	EditOf        int64 // the message of the user that it replaces, beside it; 0: none
	ParentID      int64 // the message that it follows; 0: the last one
}

// Posted is what became of it.
type Posted struct {
	Thread    Thread
	Turn      Turn
	User      Message
	Assistant Message
}

// PostTx stores a message with the turn that answers it, as part of tx. Errors:
// not_found, invalid, conflict when the thread is archived, or busy and the settings
// refuse that, or its queue is full.
func (s *Service) PostTx(ctx context.Context, tx *postgres.Tx, threadID int64, p Post, by Origin) (Posted, error) {
	if err := p.check(); err != nil {
		return Posted{}, err
	}
	a, err := s.admit(ctx, tx, threadID)
	if err != nil {
		return Posted{}, err
	}
	parent, kind, err := s.follow(ctx, tx, &a.thread, p)
	if err != nil {
		return Posted{}, err
	}
	parts, tokens, err := s.partsOf(ctx, tx, threadID, &a.model, p)
	if err != nil {
		return Posted{}, err
	}
	m, err := s.add(ctx, tx, threadID, parent, newMessage{role: roleUser, status: messageComplete, parts: parts, tokens: tokens})
	if err != nil {
		return Posted{}, err
	}
	if len(p.AttachmentIDs) > 0 {
		n, err := s.q.ClaimAttachments(ctx, tx, dbsqlc.ClaimAttachmentsParams{MessageID: &m.ID, Ids: p.AttachmentIDs, ThreadID: threadID})
		if err != nil || n != int64(len(p.AttachmentIDs)) {
			return Posted{}, fmt.Errorf("claim attachments of message %d: %w", m.ID, errors.Join(err, errors.New("some are gone")))
		}
	}
	return s.begin(ctx, tx, a, kind, m, 1, by)
}

// RegenerateTx has the message of a turn answered once more, beside the answer that
// there is. Errors as of PostTx.
func (s *Service) RegenerateTx(ctx context.Context, tx *postgres.Tx, threadID, turnID int64, by Origin) (Posted, error) {
	a, err := s.admit(ctx, tx, threadID)
	if err != nil {
		return Posted{}, err
	}
	t, err := s.q.GetTurn(ctx, tx, turnID)
	if postgres.NotFound(err) || err == nil && t.ThreadID != threadID {
		return Posted{}, noTurn(turnID)
	}
	if err != nil {
		return Posted{}, fmt.Errorf("load turn %d: %w", turnID, err)
	}
	if t.FinishedAt == nil {
		return Posted{}, errs.Ef(errs.Conflict, "turn.unfinished", "Turn %d has not ended yet (%s). Wait for it, or cancel it first.", turnID, t.Status)
	}
	m, err := s.message(ctx, tx, t.UserMessageID)
	if err != nil {
		return Posted{}, err
	}
	return s.begin(ctx, tx, a, kindRegenerate, &m, 0, by)
}

func (p *Post) check() error {
	var details []errs.Detail
	fault := func(where, format string, args ...any) {
		details = append(details, errs.Detail{Location: "body." + where, Message: fmt.Sprintf(format, args...)})
	}
	switch n := utf8.RuneCountInString(p.Message); {
	case n > maxMessage:
		fault("message", "has %d characters; at most %d are accepted. Attach a long text as a file", n, maxMessage)
	case strings.TrimSpace(p.Message) == "" && len(p.AttachmentIDs) == 0:
		fault("message", "is empty")
	case strings.ContainsRune(p.Message, 0):
		fault("message", "holds the character U+0000, which cannot be stored")
	}
	if n := len(p.AttachmentIDs); n > maxAttachments {
		fault("attachment_ids", "has %d entries; at most %d are accepted", n, maxAttachments)
	}
	if len(unique(p.AttachmentIDs)) != len(p.AttachmentIDs) {
		fault("attachment_ids", "names a file twice")
	}
	if p.EditOf != 0 && p.ParentID != 0 {
		fault("parent_id", "cannot be given together with edit_of, which says already what the message follows")
	}
	if len(details) > 0 {
		return errs.E(errs.Invalid, "turn.invalid", "The message cannot be sent like this.", details...)
	}
	return nil
}

// admitted is a thread that takes a message.
type admitted struct {
	thread   Thread
	settings Settings
	model    Model
	first    bool // nothing is before it
}

// admit locks a thread and tells whether it takes a message now.
func (s *Service) admit(ctx context.Context, tx *postgres.Tx, threadID int64) (admitted, error) {
	var a admitted
	var err error
	if a.thread, err = s.lock(ctx, tx, threadID, 0); err != nil {
		return a, err
	}
	if a.thread.Status == "archived" {
		return a, errs.Ef(errs.Conflict, "thread.archived", "Thread %d is archived. Restore it first.", threadID)
	}
	if a.settings, _, err = LoadSettings(ctx, tx); err != nil {
		return a, err
	}
	unfinished, err := s.q.ListUnfinished(ctx, tx, threadID)
	if err != nil {
		return a, fmt.Errorf("look for turns of thread %d: %w", threadID, err)
	}
	a.first = len(unfinished) == 0
	switch {
	case a.first:
	case a.settings.OnBusy == "refuse":
		return a, errs.Ef(errs.Conflict, "thread.busy", "Turn %d of this thread has not ended yet (%s). Wait for it, or cancel it.", unfinished[0].ID, unfinished[0].Status)
	case len(unfinished) > a.settings.MaxQueuedTurns:
		return a, errs.Ef(errs.Conflict, "thread.queue_full", "%d messages of this thread wait for their answers already; at most %d may.",
			len(unfinished)-1, a.settings.MaxQueuedTurns)
	}
	a.model, err = s.resolve(ctx, tx, &a.thread, &a.settings)
	return a, err
}

// resolve finds the model of a thread: its own, the default of the settings, the
// newest. Error: invalid when there is none.
func (s *Service) resolve(ctx context.Context, q postgres.Querier, t *Thread, set *Settings) (Model, error) {
	for _, id := range []*int64{t.ModelID, set.DefaultModelID} {
		if id == nil {
			continue
		}
		if m, err := s.o.Models.Model(ctx, q, *id); !errs.Is(err, errs.NotFound) {
			return m, err
		}
	}
	id, err := s.q.NewestModel(ctx, q)
	if postgres.NotFound(err) {
		return Model{}, errs.E(errs.Invalid, "thread.no_model", "There is no model that could answer. Add one under Models.")
	}
	if err != nil {
		return Model{}, fmt.Errorf("look for a model: %w", err)
	}
	return s.o.Models.Model(ctx, q, id)
}

// follow gives the message that a post follows, and what that makes of it.
func (s *Service) follow(ctx context.Context, tx *postgres.Tx, t *Thread, p Post) (*Message, string, error) {
	switch {
	case p.EditOf != 0:
		m, err := s.messageOf(ctx, tx, t.ID, p.EditOf)
		if err != nil {
			return nil, "", err
		}
		if m.Role != roleUser {
			return nil, "", errs.E(errs.Invalid, "turn.invalid", "Only messages of a user can be edited.",
				errs.Detail{Location: "body.edit_of", Message: fmt.Sprintf("message %d is an answer; regenerate its turn instead", p.EditOf)})
		}
		if m.ParentID == nil {
			return nil, kindEdit, nil
		}
		parent, err := s.message(ctx, tx, *m.ParentID)
		return &parent, kindEdit, err
	case p.ParentID != 0:
		m, err := s.messageOf(ctx, tx, t.ID, p.ParentID)
		if err == nil && m.Role != roleAssistant {
			err = errs.E(errs.Invalid, "turn.invalid", "A message follows an answer.",
				errs.Detail{Location: "body.parent_id", Message: fmt.Sprintf("message %d is not an answer", p.ParentID)})
		}
		return &m, kindBranch, err
	default:
		m, err := s.tip(ctx, tx, t)
		return m, kindMessage, err
	}
}

// partsOf makes the parts of a message of the user.
func (s *Service) partsOf(ctx context.Context, tx *postgres.Tx, threadID int64, model *Model, p Post) ([]MessagePart, int, error) {
	parts, tokens := []MessagePart{}, 0
	if len(p.AttachmentIDs) > 0 {
		rows, err := s.q.ListAttachments(ctx, tx, dbsqlc.ListAttachmentsParams{Ids: p.AttachmentIDs, ThreadID: threadID})
		if err != nil {
			return nil, 0, fmt.Errorf("load attachments: %w", err)
		}
		for _, id := range p.AttachmentIDs {
			i := slices.IndexFunc(rows, func(a Attachment) bool { return a.ID == id && a.MessageID == nil })
			if i < 0 {
				return nil, 0, errs.E(errs.Invalid, "turn.invalid", "The message cannot be sent like this.",
					errs.Detail{Location: "body.attachment_ids", Message: fmt.Sprintf("this thread has no file %d that is not sent yet", id)})
			}
			if rows[i].Kind == attachedImage && !takesImages(model) {
				return nil, 0, errs.E(errs.Invalid, "turn.no_images", fmt.Sprintf("The model %s does not take images. Choose another model for this thread, or send the message without them.", model.Name),
					errs.Detail{Location: "body.attachment_ids", Message: fmt.Sprintf("file %d is an image", id)})
			}
			parts = append(parts, MessagePart{Type: PartAttachment, Attachment: viewAttachmentPart(&rows[i])})
			tokens += int(rows[i].Tokens)
		}
	}
	if p.Message != "" {
		parts = append(parts, MessagePart{Type: PartText, Text: p.Message})
		tokens += estimate(p.Message)
	}
	return parts, tokens, nil
}

// begin makes the turn that answers a message.
func (s *Service) begin(ctx context.Context, tx *postgres.Tx, a admitted, kind string, user *Message, added int32, by Origin) (Posted, error) {
	threadID := a.thread.ID
	answer, err := s.add(ctx, tx, threadID, user, newMessage{role: roleAssistant, status: messagePending})
	if err != nil {
		return Posted{}, err
	}
	turn, err := s.q.InsertTurn(ctx, tx, dbsqlc.InsertTurnParams{
		ThreadID: threadID, Kind: kind, UserMessageID: user.ID, AssistantMessageID: answer.ID, ModelID: &a.model.ID, ModelName: a.model.Name,
		ResponseComplexity: a.thread.ResponseComplexity, DeadlineSeconds: float64(a.settings.TurnTimeoutSeconds),
		AppUserID: by.UserID, RequestID: by.RequestID, CorrelationID: by.CorrelationID,
	})
	if err != nil {
		return Posted{}, fmt.Errorf("insert turn of thread %d: %w", threadID, err)
	}
	theirs := []int64{answer.ID}
	answer.TurnID = &turn.ID
	if added > 0 {
		theirs, user.TurnID = append(theirs, user.ID), &turn.ID
	}
	if err := s.q.SetMessageTurn(ctx, tx, dbsqlc.SetMessageTurnParams{TurnID: &turn.ID, Ids: theirs}); err != nil {
		return Posted{}, fmt.Errorf("link messages of turn %d: %w", turn.ID, err)
	}
	thread, err := s.q.TouchThread(ctx, tx, dbsqlc.TouchThreadParams{ID: threadID, BranchID: &answer.BranchID, Messages: added + 1})
	if err != nil {
		return Posted{}, fmt.Errorf("touch thread %d: %w", threadID, err)
	}
	if a.first { // else whoever ends the turn before it enqueues this one
		if err := s.o.Queue.Enqueue(ctx, tx, []Pointer{{ID: turn.ID}}); err != nil {
			return Posted{}, err
		}
	}
	err = s.note(ctx, tx, &thread, deed{class: classTurn, action: "turn_requested", turnID: &turn.ID, by: by, detail: map[string]any{
		"kind": kind, "model": a.model.Name, "characters": utf8.RuneCountInString(user.Content),
	}})
	if err != nil {
		return Posted{}, err
	}
	out := Posted{Thread: thread, Turn: turn, User: *user, Assistant: *answer}
	return out, s.announceTurn(tx, &turn, &thread, user, answer)
}

// CancelTx asks a turn to stop. One that nobody works is cancelled at once, else its
// worker confirms; what came so far stays. Errors: not_found, conflict when it has
// ended.
func (s *Service) CancelTx(ctx context.Context, tx *postgres.Tx, threadID, id int64, by Origin) (Turn, error) {
	thread, err := s.lock(ctx, tx, threadID, 0)
	if err != nil {
		return Turn{}, err
	}
	return s.cancel(ctx, tx, &thread, id, by)
}

// cancel is CancelTx with the thread locked.
func (s *Service) cancel(ctx context.Context, tx *postgres.Tx, thread *Thread, id int64, by Origin) (Turn, error) {
	t, err := s.q.LockTurn(ctx, tx, id)
	if postgres.NotFound(err) || err == nil && t.ThreadID != thread.ID {
		return t, noTurn(id)
	}
	if err != nil {
		return t, fmt.Errorf("lock turn %d: %w", id, err)
	}
	switch {
	case t.FinishedAt != nil:
		return t, errs.Ef(errs.Conflict, "turn.finished", "Turn %d has ended already (%s).", id, t.Status)
	case t.Status == Cancelling:
		return t, nil
	case t.Status == Queued || t.Status == Waiting:
		if err := s.q.NoteTurnCancel(ctx, tx, id); err != nil {
			return t, fmt.Errorf("cancel turn %d: %w", id, err)
		}
		return s.settle(ctx, tx, thread, t, settlement{status: Cancelled, reason: CodeCancelled, by: by})
	}
	if t, err = s.q.RequestTurnCancel(ctx, tx, id); err != nil {
		return t, fmt.Errorf("ask turn %d to stop: %w", id, err)
	}
	if err := s.q.RequestAttemptCancel(ctx, tx, dbsqlc.RequestAttemptCancelParams{TurnID: id, Number: t.Attempt}); err != nil {
		return t, fmt.Errorf("ask turn %d to stop: %w", id, err)
	}
	tx.AfterCommit(func() { s.o.Signal(id) })
	return t, s.announceTurn(tx, &t, nil)
}

// ResumeTx lets a turn that waits go on, as a new attempt that has the checkpoint.
// Errors: not_found, conflict when it does not wait.
func (s *Service) ResumeTx(ctx context.Context, tx *postgres.Tx, threadID, id int64, checkpoint json.RawMessage) (Turn, error) {
	if _, err := s.lock(ctx, tx, threadID, 0); err != nil {
		return Turn{}, err
	}
	t, err := s.q.LockTurn(ctx, tx, id)
	if postgres.NotFound(err) || err == nil && t.ThreadID != threadID {
		return t, noTurn(id)
	}
	if err != nil {
		return t, fmt.Errorf("lock turn %d: %w", id, err)
	}
	if t.Status != Waiting {
		return t, errs.Ef(errs.Conflict, "turn.not_waiting", "Turn %d is %s, it does not wait.", id, t.Status)
	}
	if checkpoint != nil {
		if err := s.keepState(ctx, tx, &t, checkpoint); err != nil {
			return t, err
		}
	}
	return s.resume(ctx, tx, id)
}
