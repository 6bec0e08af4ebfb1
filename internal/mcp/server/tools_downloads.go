package server

import (
	"context"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/idempotency"
	"github.com/llmctl/studio/internal/postgres"
)

type startDownloadInput struct {
	KeyInput
	RepoID   string   `json:"repo_id" min:"1" max:"200" jsonschema:"owner/name at the model hub"`
	Revision string   `json:"revision,omitempty" max:"200" jsonschema:"A branch, a tag or a commit; absent: main"`
	Include  []string `json:"include,omitempty" max:"100" jsonschema:"Patterns such as *.safetensors, of which a file matches one; absent: all files"`
	Exclude  []string `json:"exclude,omitempty" max:"100" jsonschema:"Patterns of which a file matches none"`
}

type listDownloadsInput struct {
	PageInput
	Status []string `json:"status,omitempty" enum:"queued,planning,downloading,verifying,paused,cancelling,succeeded,failed,cancelled" max:"9" jsonschema:"Only downloads in one of these states"`
}

// Download is a download of a model.
type Download struct {
	ID             int64                `json:"id"`
	RepoID         string               `json:"repo_id"`
	Revision       string               `json:"revision"`
	Commit         string               `json:"commit"`
	Target         string               `json:"target" jsonschema:"Folder below models in the data folder"`
	Status         string               `json:"status" jsonschema:"queued, planning, downloading, verifying, paused, cancelling; or ended: succeeded, failed, cancelled"`
	BytesTotal     int64                `json:"bytes_total"`
	BytesDone      int64                `json:"bytes_done"`
	BytesPerSecond int64                `json:"bytes_per_second"`
	ETASeconds     *int64               `json:"eta_seconds"`
	FilesTotal     int32                `json:"files_total"`
	FilesDone      int32                `json:"files_done"`
	Error          *download.JobFailure `json:"error"`
	Created        *bool                `json:"created,omitempty" jsonschema:"false: an unfinished download does the same already; this is it"`
}

func viewDownload(j *download.Job) Download {
	v := download.ViewOf(j, "")
	return Download{
		ID: v.ID, RepoID: v.RepoID, Revision: v.Revision, Commit: v.Commit, Target: v.Target, Status: v.Status, BytesTotal: v.BytesTotal,
		BytesDone: v.BytesDone, BytesPerSecond: v.BytesPerSecond, ETASeconds: v.ETASeconds, FilesTotal: v.FilesTotal, FilesDone: v.FilesDone, Error: v.Error,
	}
}

func downloadTools(r *registry) {
	add(r, spec{
		name: "llmctl_list_downloads", title: "List downloads", permission: auth.Read, effect: reads,
		about: "Lists downloads of models from the hub, newest first, with their progress.",
	}, func(ctx context.Context, c *call, in listDownloadsInput) (PageOutput[Download], error) {
		before, err := in.before()
		if err != nil {
			return PageOutput[Download]{}, err
		}
		rows, err := c.Downloads.List(ctx, download.Filter{Statuses: in.Status, BeforeID: before, Limit: in.rows(c.limits)})
		if err != nil {
			return PageOutput[Download]{}, err
		}
		return paged(rows, in.size(c.limits), func(d *download.Listed) int64 { return d.DownloadJob.ID }, func(d *download.Listed) Download {
			return viewDownload(&d.DownloadJob)
		}), nil
	})
	add(r, spec{
		name: "llmctl_get_download", title: "Get a download", permission: auth.Read, effect: reads,
		about: "Gives one download's state and progress.",
	}, func(ctx context.Context, c *call, in IDInput) (Download, error) {
		d, err := c.Downloads.Get(ctx, in.ID)
		if err != nil {
			return Download{}, err
		}
		return viewDownload(&d.Job), nil
	})
	add(r, spec{
		name: "llmctl_start_download", title: "Download a model", permission: auth.Write, effect: adds,
		about: "Starts to download a model from the hub: it is planned first, fails if it does not fit on the disk, and can take hours. The answer has its id; llmctl_get_download tells how far it is. Ask before you fetch something large.",
	}, startDownload)
	for _, o := range []struct {
		name, title, about, action string
		do                         func(d *download.Service) order
	}{
		{"llmctl_pause_download", "Pause a download", "Asks a download to pause. It keeps what it has.", "download.paused", func(d *download.Service) order { return d.PauseTx }},
		{"llmctl_resume_download", "Resume a download", "Lets a paused download go on where it stopped.", "download.resumed", func(d *download.Service) order { return d.ResumeTx }},
		{
			"llmctl_cancel_download", "Cancel a download", "Asks a download to stop for good. What it has fetched is removed.", "download.cancelled",
			func(d *download.Service) order { return d.CancelTx },
		},
	} {
		add(r, spec{name: o.name, title: o.title, about: o.about, permission: auth.Write, effect: changes},
			func(ctx context.Context, c *call, in IDInput) (Download, error) {
				return change(ctx, c, o.action, "download_job", in.ID, func(ctx context.Context, tx *postgres.Tx) (Download, error) {
					j, err := o.do(c.Downloads)(ctx, tx, in.ID, 0)
					return viewDownload(&j), err
				})
			})
	}
}

type order = func(ctx context.Context, tx *postgres.Tx, id, revision int64) (download.Job, error)

// startDownload asks the hub before the transaction begins, and not at all when the
// key has its answer already.
func startDownload(ctx context.Context, c *call, in startDownloadInput) (Download, error) {
	known, err := idempotency.Answered(ctx, c.DB, c.user.UserID, in.IdempotencyKey)
	if err != nil {
		return Download{}, err
	}
	var prepared *download.Prepared
	if !known {
		prepared, err = c.Downloads.Prepare(ctx, download.Request{RepoID: in.RepoID, Revision: in.Revision, Include: in.Include, Exclude: in.Exclude})
		if err != nil {
			return Download{}, err
		}
	}
	key := in.IdempotencyKey
	in.IdempotencyKey = ""
	return repeatable(ctx, c, key, in, func(ctx context.Context, tx *postgres.Tx) (Download, error) {
		if prepared == nil {
			return Download{}, idempotency.ErrExpired()
		}
		by := c.user.UserID
		j, created, err := c.Downloads.CreateTx(ctx, tx, prepared, download.Origin{UserID: &by, RequestID: c.ids.request, CorrelationID: c.ids.correlation})
		if err != nil {
			return Download{}, err
		}
		out := viewDownload(&j)
		out.Created = &created
		if !created {
			return out, nil
		}
		return out, c.audit(ctx, tx, "download.created", "download_job", j.ID)
	})
}
