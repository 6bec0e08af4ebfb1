package app

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/download/hub"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/secret"
)

// lateQueue is the queue client that a studio will have.
type lateQueue struct{ s *studio }

// Enqueue implements download.Enqueuer.
func (l lateQueue) Enqueue(ctx context.Context, tx *postgres.Tx, pointers []download.Pointer) error {
	return l.s.queue.Insert(ctx, tx, downloadPointers(pointers))
}

func downloadPointers(pointers []download.Pointer) []queue.Pointer {
	out := make([]queue.Pointer, len(pointers))
	for i, p := range pointers {
		out[i] = queue.Pointer{Kind: download.Kind, ID: p.ID, Queue: queue.Downloads, At: p.At}
	}
	return out
}

func newDownloads(s *studio) (*download.Service, error) {
	client, err := hub.New(hub.Options{Endpoint: s.cfg.Hub.Endpoint, UserAgent: "llmctl-studio/" + buildVersion(), Now: s.now})
	if err != nil {
		return nil, err
	}
	return download.New(download.Options{
		DB: s.db, Log: s.events, Queue: lateQueue{s}, Seal: s.box, Fingerprint: secret.Fingerprint, Hub: client, Token: s.cfg.Hub.Token.Reveal(),
		DataDir: s.dataDir, Now: s.now, Logger: s.log,
	}), nil
}

// downloadHandler works downloads in this process, which is the worker of that id.
func downloadHandler(s *studio, id uuid.UUID, fresh func() bool) queue.Handler {
	w := download.NewWorker(s.downloads, download.WorkerOptions{
		ID: id, Fresh: fresh, Logger: s.log,
		Worked: func(waited, took time.Duration, failed bool) { s.meter.Worked(queue.Downloads, waited, took, failed) },
	})
	return queue.Handler{Kind: download.Kind, Work: w.Work, Drain: w.Drain}
}

// downloadDomain is what the sweep does for downloads.
type downloadDomain struct{ *download.Service }

// Due implements queue.Domain.
func (d downloadDomain) Due(ctx context.Context) ([]queue.Pointer, error) {
	due, err := d.Service.Due(ctx)
	return downloadPointers(due), err
}
