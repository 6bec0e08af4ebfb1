package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/idempotency"
	"github.com/llmctl/studio/internal/postgres"
)

// planTimeout bounds what a hub may take to answer a plan. It is shorter than a
// browser's patience, so that people are told.
const planTimeout = 25 * time.Second

type downloadRequest struct {
	RepoID   string   `json:"repo_id" maxLength:"200" doc:"owner/name"`
	Revision string   `json:"revision,omitempty" maxLength:"200" doc:"A branch, a tag or a commit; empty: main"`
	Include  []string `json:"include,omitempty" doc:"Patterns such as *.safetensors, of which a file matches one; none: all files"`
	Exclude  []string `json:"exclude,omitempty" doc:"Patterns of which a file matches none"`
	Token    string   `json:"token,omitempty" maxLength:"500" doc:"Write-only; for this download instead of HF_TOKEN, encrypted, removed when it ends"`
}

func (r downloadRequest) domain() download.Request {
	return download.Request{RepoID: r.RepoID, Revision: r.Revision, Include: r.Include, Exclude: r.Exclude, Token: r.Token}
}

type planDownloadInput struct{ Body downloadRequest }

type planDownloadOutput struct{ Body download.TransferPlan }

type createDownloadInput struct {
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           downloadRequest
}

type createDownloadOutput struct {
	Status int    `json:"status"`
	ETag   string `header:"ETag" json:"etag"`
	Body   struct {
		download.JobView
		Created bool `json:"created" doc:"false: an unfinished download does the same already; this is it"`
	} `json:"body"`
}

type downloadAttempt struct {
	Number       int32                `json:"number"`
	Worker       string               `json:"worker"`
	Status       string               `json:"status" enum:"running,succeeded,failed,cancelled,paused,handed_over,lost"`
	Error        *download.JobFailure `json:"error"`
	BytesFetched int64                `json:"bytes_fetched"`
	ClaimedAt    time.Time            `json:"claimed_at"`
	FinishedAt   *time.Time           `json:"finished_at"`
}

type downloadDetailOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		download.JobView
		Files    []download.JobFile `json:"files"`
		Attempts []downloadAttempt  `json:"attempts" doc:"The newest first, at most 100"`
		AsOf     asOf               `json:"as_of"`
	}
}

type downloadOutput struct {
	ETag string `header:"ETag"`
	Body download.JobView
}

type listDownloadsInput struct {
	PageInput
	Status []string `query:"status" enum:"queued,planning,downloading,verifying,paused,cancelling,succeeded,failed,cancelled"`
}

type orderDownloadInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
}

type deleteDownloadInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
	Files   bool   `query:"files" doc:"Remove what it brought from the disk, too"`
}

type deleteDownloadOutput struct {
	Body struct {
		ID        int64 `json:"id"`
		Files     bool  `json:"files" doc:"The files go, too"`
		Bytes     int64 `json:"bytes" doc:"That are removed from the disk"`
		Confirmed bool  `json:"confirmed" doc:"Done already; else a worker removes what is on its disk, in a moment"`
	}
}

func (s *server) registerDownloads() {
	handle(s, route{
		method: http.MethodPost, path: "/downloads/plan", id: "plan-download", tag: "downloads", permission: auth.Write,
		summary: "What a download would be: files, sizes, whether it fits",
	}, s.planDownload)
	handle(s, route{
		method: http.MethodPost, path: "/downloads", id: "create-download", tag: "downloads", permission: auth.Write,
		audit: true, idempotent: true, summary: "Download a model; 200 with the one that does the same already", status: http.StatusAccepted,
	}, s.createDownload)
	handle(s, route{
		method: http.MethodGet, path: "/downloads", id: "list-downloads", tag: "downloads", permission: auth.Read, summary: "Downloads, newest first",
	}, s.listDownloads)
	handle(s, route{
		method: http.MethodGet, path: "/downloads/{id}", id: "get-download", tag: "downloads", permission: auth.Read,
		summary: "A download with its files and attempts",
	}, s.getDownload)
	handle(s, route{
		method: http.MethodDelete, path: "/downloads/{id}", id: "delete-download", tag: "downloads", permission: auth.Write, audit: true,
		summary: "Delete a download that has ended, and if wanted its files", status: http.StatusAccepted,
	}, s.deleteDownload)
	s.registerDownloadOrders()
}

func (s *server) registerDownloadOrders() {
	for _, o := range []struct {
		name, action, summary string
		do                    func(ctx context.Context, tx *postgres.Tx, id, revision int64) (download.Job, error)
	}{
		{"pause", "paused", "Ask a download to pause; it keeps what it has and holds no worker", s.deps.Downloads.PauseTx},
		{"resume", "resumed", "Let a paused download go on where it stopped", s.deps.Downloads.ResumeTx},
		{"cancel", "cancelled", "Ask a download to stop for good; what it has fetched is removed", s.deps.Downloads.CancelTx},
	} {
		handle(s, route{
			method: http.MethodPost, path: "/downloads/{id}/" + o.name, id: o.name + "-download", tag: "downloads", permission: auth.Write, audit: true,
			summary: o.summary, status: http.StatusAccepted,
		}, func(ctx context.Context, in *orderDownloadInput) (*downloadOutput, error) {
			revision, err := ifMatch(in.IfMatch)
			if err != nil {
				return nil, err
			}
			return change(ctx, s, "download."+o.action, "download_job", in.ID, func(ctx context.Context, tx *postgres.Tx) (*downloadOutput, error) {
				j, err := o.do(ctx, tx, in.ID, revision)
				if err != nil {
					return nil, err
				}
				return &downloadOutput{ETag: etag(j.RevisionNumber), Body: download.ViewOf(&j, "")}, nil
			})
		})
	}
}

func (s *server) planDownload(ctx context.Context, in *planDownloadInput) (*planDownloadOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	p, err := s.deps.Downloads.Plan(ctx, in.Body.domain())
	if err != nil {
		return nil, err
	}
	return &planDownloadOutput{Body: *p}, nil
}

// createDownload asks the hub before the transaction begins, and not at all when
// the key has its answer already.
func (s *server) createDownload(ctx context.Context, in *createDownloadInput) (*createDownloadOutput, error) {
	const operation = "create-download"
	known, err := s.answered(ctx, in.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	var prepared *download.Prepared
	if !known {
		asking, cancel := context.WithTimeout(ctx, planTimeout)
		defer cancel()
		if prepared, err = s.deps.Downloads.Prepare(asking, in.Body.domain()); err != nil {
			return nil, err
		}
	}
	return idempotent(ctx, s, operation, in.IdempotencyKey, in.Body, func(ctx context.Context, tx *postgres.Tx) (*createDownloadOutput, error) {
		if prepared == nil { // the answer has expired between the two looks
			return nil, idempotency.ErrExpired()
		}
		by, v := user(ctx).UserID, idsFrom(ctx)
		j, created, err := s.deps.Downloads.CreateTx(ctx, tx, prepared, download.Origin{UserID: &by, RequestID: v.Request, CorrelationID: v.Correlation})
		if err != nil {
			return nil, err
		}
		out := &createDownloadOutput{Status: http.StatusAccepted, ETag: etag(j.RevisionNumber)}
		out.Body.JobView, out.Body.Created = download.ViewOf(&j, ""), created
		if !created {
			out.Status = http.StatusOK
			return out, nil
		}
		return out, s.auditDownload(ctx, tx, &j, "download.created", map[string]any{
			"repo_id": j.RepoID, "revision": j.Revision, "commit": j.CommitID, "target": j.Target, "bytes": j.BytesTotal,
		})
	})
}

func (s *server) auditDownload(ctx context.Context, tx *postgres.Tx, j *download.Job, action string, detail map[string]any) error {
	return auth.Audit(ctx, tx, auth.AuditEntry{
		UserID: user(ctx).UserID, Action: action, EntityKind: "download_job", EntityID: strconv.FormatInt(j.ID, 10), Detail: detail,
	})
}

func (s *server) listDownloads(ctx context.Context, in *listDownloadsInput) (*pageOutput[download.JobView], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	rows, err := s.deps.Downloads.List(ctx, download.Filter{Statuses: in.Status, BeforeID: before, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return paged(rows, in.Limit, func(r download.Listed) int64 { return r.DownloadJob.ID }, func(r download.Listed) download.JobView {
		return download.ViewOf(&r.DownloadJob, r.Worker)
	}), nil
}

func (s *server) getDownload(ctx context.Context, in *IDInput) (*downloadDetailOutput, error) {
	d, err := s.deps.Downloads.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &downloadDetailOutput{ETag: etag(d.Job.RevisionNumber)}
	out.Body.JobView = download.ViewOf(&d.Job, d.Worker)
	out.Body.Files = make([]download.JobFile, len(d.Files))
	for i := range d.Files {
		out.Body.Files[i] = download.ViewFile(&d.Files[i])
	}
	out.Body.Attempts = make([]downloadAttempt, len(d.Attempts))
	for i, row := range d.Attempts {
		a := row.DownloadAttempt
		v := downloadAttempt{
			Number: a.Number, Worker: row.Hostname, Status: a.Status, BytesFetched: a.BytesFetched, ClaimedAt: a.ClaimedAt, FinishedAt: a.FinishedAt,
		}
		if a.Error != nil {
			v.Error = &download.JobFailure{}
			if err := json.Unmarshal(a.Error, v.Error); err != nil {
				return nil, fmt.Errorf("read the error of attempt %d of download %d: %w", a.Number, in.ID, err)
			}
		}
		out.Body.Attempts[i] = v
	}
	out.Body.AsOf = asOf{Stream: download.Stream(in.ID), Sequence: d.AsOf}
	return out, nil
}

func (s *server) deleteDownload(ctx context.Context, in *deleteDownloadInput) (*deleteDownloadOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	out := &deleteDownloadOutput{}
	err = s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		d, err := s.deps.Downloads.DeleteTx(ctx, tx, in.ID, revision, in.Files)
		if err != nil {
			return err
		}
		out.Body.ID, out.Body.Files, out.Body.Bytes, out.Body.Confirmed = in.ID, in.Files, d.Bytes, d.Removed
		return auth.Audit(ctx, tx, auth.AuditEntry{
			UserID: user(ctx).UserID, Action: "download.deleted", EntityKind: "download_job", EntityID: strconv.FormatInt(in.ID, 10),
			Detail: map[string]any{"files": in.Files, "bytes": d.Bytes},
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
