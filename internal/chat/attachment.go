package chat

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/chat/extract"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// The kinds of attachments.
const (
	attachedText  = extract.Text
	attachedPDF   = extract.PDF
	attachedImage = extract.Image
)

// Bounds of attachments.
const (
	// MaxUpload is how large a file may be.
	MaxUpload = 20 << 20
	// maxUnsent bounds what waits in a thread to be sent.
	maxUnsent = 50
	// maxAttachedText is how much of a file's text a model reads, in bytes.
	maxAttachedText = 1 << 20
	maxFileName     = 200
)

// AttachmentView is a file as answers show it.
type AttachmentView struct {
	AttachmentPart
	ThreadID  int64  `json:"thread_id"`
	MessageID *int64 `json:"message_id" doc:"null: not sent yet; it is removed after a day"`
	Tokens    int32  `json:"tokens" doc:"An estimate"`
	Truncated bool   `json:"truncated" doc:"Its text is longer than what a model reads of it"`
}

func viewAttachmentPart(a *Attachment) *AttachmentPart {
	return &AttachmentPart{ID: a.ID, Name: a.Name, Kind: a.Kind, MediaType: a.MediaType, Size: a.Size, Pages: a.Pages}
}

// ViewAttachment shows a file.
func ViewAttachment(a *Attachment) AttachmentView {
	return AttachmentView{AttachmentPart: *viewAttachmentPart(a), ThreadID: a.ThreadID, MessageID: a.MessageID, Tokens: a.Tokens, Truncated: a.Truncated}
}

// Upload is a file on its way in, read already.
type Upload struct {
	name string
	data []byte
	read extract.Content
}

// Read looks into a file, before any transaction. Errors: invalid, too_large.
func (s *Service) Read(ctx context.Context, name string, data []byte) (Upload, error) {
	name = path.Base(strings.ReplaceAll(strings.TrimSpace(name), `\`, "/"))
	if name == "" || name == "." || name == "/" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxFileName || strings.ContainsRune(name, 0) {
		return Upload{}, errs.E(errs.Invalid, "attachment.name", fmt.Sprintf("The file needs a name of 1 to %d characters.", maxFileName),
			errs.Detail{Location: "query.name", Message: "is empty, too long, or not a file's name"})
	}
	if len(data) > MaxUpload {
		return Upload{}, errs.Ef(errs.TooLarge, "attachment.too_large", "%s has %d bytes; at most %d are accepted.", name, len(data), MaxUpload)
	}
	content, err := extract.Read(ctx, s.o.Documents, name, data, maxAttachedText)
	if e, ok := errors.AsType[*extract.Error](err); ok {
		return Upload{}, errs.E(errs.Invalid, "attachment."+e.Reason, name+" "+e.Message).With(err)
	}
	if err != nil {
		return Upload{}, fmt.Errorf("read %s: %w", name, err)
	}
	return Upload{name: name, data: data, read: content}, nil
}

// AttachTx keeps a file for the next message of a thread. Errors: not_found, conflict
// when too many wait.
func (s *Service) AttachTx(ctx context.Context, tx *postgres.Tx, threadID int64, u Upload, by Origin) (Attachment, error) {
	if _, err := s.lock(ctx, tx, threadID, 0); err != nil {
		return Attachment{}, err
	}
	n, err := s.q.CountUnsent(ctx, tx, threadID)
	if err != nil {
		return Attachment{}, fmt.Errorf("count files of thread %d: %w", threadID, err)
	}
	if n >= maxUnsent {
		return Attachment{}, errs.Ef(errs.Conflict, "attachment.too_many", "%d files of this thread wait to be sent; at most %d may.", n, maxUnsent)
	}
	p := dbsqlc.InsertAttachmentParams{
		ThreadID: threadID, Name: u.name, Kind: u.read.Kind, MediaType: u.read.MediaType, Size: int64(len(u.data)), Pages: int32(u.read.Pages),
		Truncated: u.read.Truncated, AppUserID: by.UserID,
	}
	if p.Blob, err = blob.Put(ctx, tx, u.data); err != nil {
		return Attachment{}, err
	}
	p.Tokens = imageTokens
	if u.read.Kind != attachedImage {
		p.Tokens = int32(estimate(u.read.Text))
		if p.TextBlob, err = blob.Put(ctx, tx, []byte(u.read.Text)); err != nil {
			return Attachment{}, err
		}
	}
	a, err := s.q.InsertAttachment(ctx, tx, p)
	if err != nil {
		return a, fmt.Errorf("insert attachment of thread %d: %w", threadID, err)
	}
	return a, nil
}

func noAttachment(id int64) error {
	return errs.Ef(errs.NotFound, "attachment.not_found", "There is no file %d.", id)
}

// OpenAttachment gives a file with its content. Error: not_found.
func (s *Service) OpenAttachment(ctx context.Context, id int64) (Attachment, *blob.Content, error) {
	a, err := s.q.GetAttachment(ctx, s.o.DB, id)
	if postgres.NotFound(err) {
		return a, nil, noAttachment(id)
	}
	if err != nil {
		return a, nil, fmt.Errorf("load attachment %d: %w", id, err)
	}
	if _, err := s.get(ctx, s.o.DB, a.ThreadID); err != nil {
		return a, nil, noAttachment(id)
	}
	content, err := blob.Open(ctx, s.o.DB, a.Blob)
	return a, content, err
}

// DetachTx removes a file that was not sent. Errors: not_found, conflict when it was.
func (s *Service) DetachTx(ctx context.Context, tx *postgres.Tx, id int64) error {
	a, err := s.q.GetAttachment(ctx, tx, id)
	if postgres.NotFound(err) {
		return noAttachment(id)
	}
	if err != nil {
		return fmt.Errorf("load attachment %d: %w", id, err)
	}
	n, err := s.q.DeleteUnsent(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("remove attachment %d: %w", id, err)
	}
	if n == 0 {
		return errs.Ef(errs.Conflict, "attachment.sent", "%s belongs to message %d. What was sent stays.", a.Name, *a.MessageID)
	}
	return nil
}
