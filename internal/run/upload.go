package run

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// Upload is a file that a pod has sent ahead of its result.
type Upload struct {
	Name      string
	MediaType string
	Size      int64
	Blob      blob.Hash
}

// UploadLimits bound what one attempt may send ahead.
type UploadLimits struct {
	Files int
	Bytes int64
}

// KeepUpload stores a file of an open attempt until its end. The same name again
// replaces the file. Errors: executor.attempt_closed and the others of a pod that may
// not report; too_large.
func (e *Engine) KeepUpload(ctx context.Context, who Reporter, name, mediaType string, data []byte, limits UploadLimits) (Upload, error) {
	u := Upload{Name: name, MediaType: mediaType, Size: int64(len(data))}
	for try := 1; ; try++ {
		var err error
		if u.Blob, err = blob.Put(ctx, e.DB, data); err != nil {
			return u, err
		}
		err = e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error { return e.keepUpload(ctx, tx, who, u, limits) })
		if postgres.IsForeignKey(err) && try < maxPuts {
			continue // the blob was collected before it was referred to
		}
		return u, err
	}
}

func (e *Engine) keepUpload(ctx context.Context, tx *postgres.Tx, who Reporter, u Upload, limits UploadLimits) error {
	a, err := e.q.LockAttempt(ctx, tx, dbsqlc.LockAttemptParams{NodeRunID: who.NodeRunID, Number: who.Attempt})
	if err != nil {
		return fmt.Errorf("lock attempt %d of node run %d: %w", who.Attempt, who.NodeRunID, err)
	}
	switch err := who.check(&a); {
	case err != nil:
		return err
	case a.FinishedAt != nil:
		return errClosed
	case a.PodUid == nil:
		return errBegin
	}
	sum, err := e.q.SumUploads(ctx, tx, dbsqlc.SumUploadsParams{NodeRunID: who.NodeRunID, Number: who.Attempt, Name: u.Name})
	if err != nil {
		return fmt.Errorf("measure uploads of node run %d: %w", who.NodeRunID, err)
	}
	if int(sum.N) >= limits.Files || sum.Bytes+u.Size > limits.Bytes {
		return errs.Ef(errs.TooLarge, "executor.uploads", "An attempt may leave %d files with %d bytes together; there are %d with %d bytes, and %q has %d.",
			limits.Files, limits.Bytes, sum.N, sum.Bytes, u.Name, u.Size)
	}
	err = e.q.SaveUpload(ctx, tx, dbsqlc.SaveUploadParams{
		NodeRunID: who.NodeRunID, Number: who.Attempt, Name: u.Name, MediaType: u.MediaType, Size: u.Size, Blob: u.Blob,
	})
	if err != nil {
		return fmt.Errorf("store upload %q of node run %d: %w", u.Name, who.NodeRunID, err)
	}
	return nil
}

// Uploads lists the files that an attempt has sent ahead, by name.
func (e *Engine) Uploads(ctx context.Context, who Reporter) (map[string]Upload, error) {
	rows, err := e.q.ListUploads(ctx, e.DB, dbsqlc.ListUploadsParams{NodeRunID: who.NodeRunID, Number: who.Attempt})
	if err != nil {
		return nil, fmt.Errorf("list uploads of node run %d: %w", who.NodeRunID, err)
	}
	out := make(map[string]Upload, len(rows))
	for _, r := range rows {
		out[r.Name] = Upload{Name: r.Name, MediaType: r.MediaType, Size: r.Size, Blob: r.Blob}
	}
	return out, nil
}

// OpenArtifactOf begins to read an artifact of the reporter's own run, or of the quick
// node itself. Error: not_found, also for one of another.
func (e *Engine) OpenArtifactOf(ctx context.Context, who Reporter, id int64) (Artifact, *blob.Content, error) {
	a, err := e.q.GetArtifact(ctx, e.DB, id)
	own := a.NodeRunID == who.NodeRunID
	if a.FlowchartRunID != nil {
		own = *a.FlowchartRunID == who.RunID
	}
	if err == nil && !own || postgres.NotFound(err) {
		return a, nil, errs.Ef(errs.NotFound, "artifact.not_found", "The run has no artifact %d.", id)
	}
	if err != nil {
		return a, nil, fmt.Errorf("load artifact %d: %w", id, err)
	}
	content, err := blob.Open(ctx, e.DB, a.Blob)
	return a, content, err
}
