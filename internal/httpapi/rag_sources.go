package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch/local"
	"github.com/llmctl/studio/internal/rag/source"
)

// checkPatience bounds how long a check of a source may take.
const checkPatience = 40 * time.Second

// SourceBody is what can be set of a source. The service says what is wrong with it, all
// at once, so only sizes are limited here.
type SourceBody struct {
	Name         *string                       `json:"name,omitempty" maxLength:"1000"`
	Path         *string                       `json:"path,omitempty" maxLength:"5000" doc:"Of kind local: a folder inside the allowed ones"`
	URL          *string                       `json:"url,omitempty" maxLength:"3000" doc:"Of kind git: https, ssh, or file inside the allowed folders"`
	Branch       optional[string]              `json:"branch,omitzero" doc:"Of kind git; empty: the server's default"`
	Subfolder    optional[string]              `json:"subfolder,omitzero" doc:"Of kind git; empty: everything"`
	Submodules   *bool                         `json:"submodules,omitempty" doc:"Of kind git; false if it is not given"`
	FolderID     *string                       `json:"folder_id,omitempty" maxLength:"1000" doc:"Of kind google_drive: the last part of the folder's address"`
	Endpoint     optional[string]              `json:"endpoint,omitzero" doc:"Of kind google_drive; empty: Google's"`
	Include      *[]string                     `json:"include,omitempty" doc:"Patterns such as docs/**/*.md or *.go; none: everything"`
	Exclude      *[]string                     `json:"exclude,omitempty"`
	MaxFileBytes optional[int64]               `json:"max_file_bytes,omitzero" doc:"null: that of the settings"`
	Token        optional[string]              `json:"token,omitzero" doc:"Write-only, for https; null removes it"`
	SSHKey       optional[string]              `json:"ssh_key,omitzero" doc:"Write-only, for ssh: a private key without a passphrase; null removes it"`
	Account      optional[string]              `json:"service_account,omitzero" doc:"Write-only: the JSON key file of a service account; null removes it"`
	Schedule     optional[SourceScheduleEntry] `json:"schedule,omitzero" doc:"When it is indexed; null: when somebody asks for it"`
}

// SourceScheduleEntry is a source's schedule in a request.
type SourceScheduleEntry struct {
	Cron         *string `json:"cron,omitempty" maxLength:"200" doc:"Either this"`
	EverySeconds *int32  `json:"every_seconds,omitempty" doc:"or this, 60 to 31536000"`
	TimeZone     string  `json:"time_zone,omitempty" maxLength:"64" default:"UTC" doc:"IANA name, of cron"`
	Mode         string  `json:"mode,omitempty" maxLength:"20" default:"delta" doc:"fresh or delta"`
	Enabled      *bool   `json:"enabled,omitempty" doc:"true if it is not given"`
	// What the answer has beside it is taken and not looked at, so that it can be sent back.
	ID        *int64     `json:"id,omitempty"`
	NextDueAt *time.Time `json:"next_due_at,omitempty"`
}

func (b *SourceBody) apply(f *source.Fields) {
	set(&f.Name, b.Name)
	set(&f.Path, b.Path)
	set(&f.URL, b.URL)
	set(&f.Submodules, b.Submodules)
	set(&f.FolderID, b.FolderID)
	set(&f.Include, b.Include)
	set(&f.Exclude, b.Exclude)
	setText(&f.Branch, b.Branch)
	setText(&f.Subfolder, b.Subfolder)
	setText(&f.Endpoint, b.Endpoint)
	if b.MaxFileBytes.Set {
		f.MaxFileBytes = b.MaxFileBytes.Value
	}
}

// setText sets a text that may be null, which is empty.
func setText(to *string, given optional[string]) {
	if given.Set {
		*to = ""
		set(to, given.Value)
	}
}

func (b *SourceBody) change() source.Change {
	c := source.Change{
		Apply:       b.apply,
		Secrets:     source.Given{Token: secretGiven(b.Token), SSHKey: secretGiven(b.SSHKey), ServiceAccount: secretGiven(b.Account)},
		SetSchedule: b.Schedule.Set,
	}
	if e := b.Schedule.Value; e != nil {
		c.Schedule = &source.IndexSchedule{Cron: e.Cron, EverySeconds: e.EverySeconds, TimeZone: e.TimeZone, Mode: e.Mode, Enabled: e.Enabled == nil || *e.Enabled}
		if c.Schedule.TimeZone == "" {
			c.Schedule.TimeZone = "UTC"
		}
		if c.Schedule.Mode == "" {
			c.Schedule.Mode = "delta"
		}
	}
	return c
}

// secretGiven gives nil for what is not in the request, and "" for null.
func secretGiven(o optional[string]) *string {
	if !o.Set {
		return nil
	}
	if o.Value == nil {
		return new(string)
	}
	return o.Value
}

type createSourceInput struct {
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           struct {
		Kind string `json:"kind" maxLength:"100" doc:"local, git or google_drive"`
		SourceBody
	}
}

type updateSourceInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
	Body    struct {
		SourceBody
	}
}

type checkSourceInput struct {
	Body struct {
		ID   *int64 `json:"id,omitempty" minimum:"1" doc:"A stored source; the other members are changes of it. Its secret goes along unless the change moves it elsewhere"`
		Kind string `json:"kind,omitempty" maxLength:"100"`
		SourceBody
	}
}

type listSourcesInput struct {
	PageInput
	Q      string `query:"q" maxLength:"200" doc:"Part of the name"`
	Kind   string `query:"kind" enum:"local,git,google_drive"`
	Status string `query:"status" enum:"not_indexed,queued,indexing,waiting,indexed,error"`
}

// SourceView is a source.
type SourceView struct{ source.View }

type sourceOutput struct {
	ETag string `header:"ETag"`
	Body SourceView
}

type updatedSourceOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		SourceView
		SecretRemoved bool   `json:"secret_removed,omitempty" doc:"The source is elsewhere now, so the secret that was entered for the former place was removed"`
		Notice        string `json:"notice,omitempty"`
	}
}

// SourceCheck is what a check of a source found.
type SourceCheck struct {
	OK       bool          `json:"ok"`
	Message  string        `json:"message"`
	Code     string        `json:"code,omitempty" doc:"A stable word, when it cannot be read"`
	Revision string        `json:"revision,omitempty" doc:"The commit that the branch is at"`
	Files    int           `json:"files,omitempty" doc:"0: not counted"`
	Errors   []errs.Detail `json:"errors,omitempty" doc:"What is wrong with which member"`
}

type checkSourceOutput struct{ Body SourceCheck }

type rootsOutput struct {
	Body struct {
		Roots []local.Root `json:"roots" doc:"Folders that local sources may lie in; none: an administrator sets LLMCTL_STUDIO_RAG_LOCAL_ROOTS"`
	}
}

type browseInput struct {
	Path string `query:"path" required:"true" maxLength:"5000"`
}

type browseOutput struct {
	Body struct {
		Path    string         `json:"path"`
		Folders []local.Folder `json:"folders"`
	}
}

type deleteSourceInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
}

func (s *server) registerSources() {
	handle(s, route{
		method: http.MethodGet, path: "/rag/sources", id: "list-sources", tag: "rag", permission: auth.Read, summary: "Sources, newest first",
	}, s.listSources)
	handle(s, route{
		method: http.MethodPost, path: "/rag/sources", id: "create-source", tag: "rag", permission: auth.Write, audit: true, idempotent: true,
		summary: "Create a source; it is indexed by its schedule, or when somebody asks for it", status: http.StatusCreated,
	}, s.createSource)
	handle(s, route{
		method: http.MethodPost, path: "/rag/sources/check", id: "check-source", tag: "rag", permission: auth.Write,
		summary: "Look whether a source can be read; nothing is stored",
	}, s.checkSource)
	handle(s, route{
		method: http.MethodGet, path: "/rag/sources/{id}", id: "get-source", tag: "rag", permission: auth.Read, summary: "A source",
	}, func(ctx context.Context, in *IDInput) (*sourceOutput, error) {
		return sourceOut(s.deps.Sources.View(ctx, s.deps.DB, in.ID))
	})
	handle(s, route{
		method: http.MethodPatch, path: "/rag/sources/{id}", id: "update-source", tag: "rag", permission: auth.Write, audit: true,
		summary: "Change a source; its next index run takes note of it",
	}, s.updateSource)
	handle(s, route{
		method: http.MethodDelete, path: "/rag/sources/{id}", id: "delete-source", tag: "rag", permission: auth.Write, audit: true,
		summary: "Delete a source with its index; until undo_until it can be restored", status: http.StatusAccepted,
	}, s.deleteSource)
	handle(s, route{
		method: http.MethodPost, path: "/rag/sources/{id}/restore", id: "restore-source", tag: "rag", permission: auth.Write, audit: true,
		summary: "Take a deletion back",
	}, func(ctx context.Context, in *IDInput) (*sourceOutput, error) {
		return change(ctx, s, "rag_source.restored", "rag_source", in.ID, func(ctx context.Context, tx *postgres.Tx) (*sourceOutput, error) {
			return sourceOut(s.deps.Sources.Restore(ctx, tx, in.ID))
		})
	})
	s.registerLocalRoots()
}

func (s *server) registerLocalRoots() {
	handle(s, route{
		method: http.MethodGet, path: "/rag/local-roots", id: "list-local-roots", tag: "rag", permission: auth.Read,
		summary: "The folders that local sources may lie in",
	}, func(context.Context, *struct{}) (*rootsOutput, error) {
		out := &rootsOutput{}
		out.Body.Roots = s.deps.Sources.Roots().List()
		return out, nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/rag/local-roots/browse", id: "browse-local-roots", tag: "rag", permission: auth.Write,
		summary: "The folders in a folder, to choose one",
	}, func(_ context.Context, in *browseInput) (*browseOutput, error) {
		folders, err := s.deps.Sources.Roots().Browse(in.Path)
		if err != nil {
			return nil, err
		}
		out := &browseOutput{}
		out.Body.Path, out.Body.Folders = in.Path, folders
		return out, nil
	})
}

func sourceOut(v source.View, err error) (*sourceOutput, error) {
	if err != nil {
		return nil, err
	}
	return &sourceOutput{ETag: etag(v.Revision), Body: SourceView{v}}, nil
}

func (s *server) listSources(ctx context.Context, in *listSourcesInput) (*pageOutput[SourceView], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	rows, err := s.deps.Sources.List(ctx, s.deps.DB, source.Filter{Name: in.Q, Kind: in.Kind, Status: in.Status, BeforeID: before, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return paged(rows, in.Limit, func(v source.View) int64 { return v.ID }, func(v source.View) SourceView { return SourceView{v} }), nil
}

func (s *server) createSource(ctx context.Context, in *createSourceInput) (*sourceOutput, error) {
	f := source.Fields{Kind: in.Body.Kind}
	in.Body.apply(&f)
	return idempotent(ctx, s, "create-source", in.IdempotencyKey, in.Body, func(ctx context.Context, tx *postgres.Tx) (*sourceOutput, error) {
		by := user(ctx).UserID
		v, err := s.deps.Sources.Create(ctx, tx, f, in.Body.change(), &by)
		if err != nil {
			return nil, err
		}
		if err := s.audit(ctx, tx, "rag_source.created", "rag_source", v.ID); err != nil {
			return nil, err
		}
		return sourceOut(v, nil)
	})
}

func (s *server) updateSource(ctx context.Context, in *updateSourceInput) (*updatedSourceOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, "rag_source.updated", "rag_source", in.ID, func(ctx context.Context, tx *postgres.Tx) (*updatedSourceOutput, error) {
		by := user(ctx).UserID
		u, err := s.deps.Sources.Update(ctx, tx, in.ID, revision, in.Body.change(), &by)
		if err != nil {
			return nil, err
		}
		out := &updatedSourceOutput{ETag: etag(u.Revision)}
		out.Body.SourceView, out.Body.SecretRemoved = SourceView{u.View}, u.SecretRemoved
		if u.SecretRemoved {
			out.Body.Notice = "The source moved elsewhere, so its stored secret was removed: it was entered for the former place. Enter one for the new place."
		}
		return out, nil
	})
}

func (s *server) deleteSource(ctx context.Context, in *deleteSourceInput) (*sourceOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, "rag_source.deleted", "rag_source", in.ID, func(ctx context.Context, tx *postgres.Tx) (*sourceOutput, error) {
		return sourceOut(s.deps.Sources.Delete(ctx, tx, in.ID, revision))
	})
}

func (s *server) checkSource(ctx context.Context, in *checkSourceInput) (*checkSourceOutput, error) {
	timed, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	var out SourceCheck
	var err error
	if in.Body.ID != nil {
		r, cause := s.deps.Sources.CheckStored(timed, *in.Body.ID, in.Body.change())
		out, err = SourceCheck{OK: true, Message: r.Message, Revision: r.Revision, Files: r.Files}, cause
	} else {
		f := source.Fields{Kind: in.Body.Kind}
		in.Body.apply(&f)
		r, cause := s.deps.Sources.CheckNew(timed, f, in.Body.change().Secrets)
		out, err = SourceCheck{OK: true, Message: r.Message, Revision: r.Revision, Files: r.Files}, cause
	}
	switch {
	case err == nil:
		return &checkSourceOutput{Body: out}, nil
	case errs.HasReason(err, "rag.source_not_found"), ctx.Err() != nil:
		return nil, err
	case errors.Is(err, context.DeadlineExceeded) || timed.Err() != nil:
		return &checkSourceOutput{Body: SourceCheck{Code: "rag.check_timeout", Message: "It did not answer in time. Check the address, or try again."}}, nil
	}
	known := errs.As(err)
	if known.Code == errs.Internal {
		return nil, err
	}
	return &checkSourceOutput{Body: SourceCheck{Code: known.Reason, Message: known.Message, Errors: known.Details}}, nil
}
