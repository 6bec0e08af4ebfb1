package download

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/llmctl/studio/internal/download/hub"
	"github.com/llmctl/studio/internal/download/transfer"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// TransferPlan is what a download would be.
type TransferPlan struct {
	RepoID       string        `json:"repo_id" doc:"As the hub writes it"`
	Revision     string        `json:"revision"`
	Commit       string        `json:"commit" doc:"What the revision is now"`
	Gated        bool          `json:"gated"`
	Target       string        `json:"target" doc:"Folder below models in the data folder"`
	Files        []PlannedFile `json:"files" doc:"All files of the revision"`
	FilesTotal   int           `json:"files_total" doc:"Of those selected"`
	BytesTotal   int64         `json:"bytes_total"`
	BytesPresent int64         `json:"bytes_present" doc:"In the target already, unchanged"`
	BytesKept    int64         `json:"bytes_kept" doc:"Left by an earlier download that did not end well"`
	BytesToFetch int64         `json:"bytes_to_fetch"`
	Complete     bool          `json:"complete" doc:"Everything is there already"`
	Replaces     string        `json:"replaces,omitempty" doc:"Another commit that the target holds; its files do not stay"`
	Disk         DiskSpace     `json:"disk"`
	Fits         bool          `json:"fits"`
	ActiveID     *int64        `json:"active_id" doc:"An unfinished download of this target"`

	selected []hub.File
}

// PlannedFile is a file of a plan.
type PlannedFile struct {
	Path     string `json:"path"`
	Size     int64  `json:"size"`
	HashKind string `json:"hash_kind" enum:"sha256,git_sha1"`
	Hash     string `json:"hash"`
	Selected bool   `json:"selected" doc:"By the patterns"`
	Present  bool   `json:"present"`
}

// DiskSpace is the space where targets lie.
type DiskSpace struct {
	Free    int64 `json:"free"`
	Total   int64 `json:"total"`
	Reserve int64 `json:"reserve" doc:"What has to stay free"`
}

// Plan asks the hub what a request means and looks at the disk. Errors: invalid
// for what cannot be had, unavailable when the hub cannot tell.
func (s *Service) Plan(ctx context.Context, r Request) (*TransferPlan, error) {
	if err := r.clean(); err != nil {
		return nil, err
	}
	token := s.tokenOf(r)
	revision, err := s.o.Hub.Resolve(ctx, token, r.RepoID, r.Revision)
	if err != nil {
		return nil, explained(err)
	}
	if fault := repoFault(revision.RepoID); fault != "" {
		return nil, errs.Ef(errs.Unavailable, "download.bad_answer", "The hub's name of %s %s.", r.RepoID, fault)
	}
	files, err := s.o.Hub.Tree(ctx, token, revision.RepoID, revision.Commit, s.o.MaxFiles)
	if err != nil {
		return nil, explained(err)
	}
	p := &TransferPlan{RepoID: revision.RepoID, Revision: r.Revision, Commit: revision.Commit, Gated: revision.Gated, Target: targetOf(revision.RepoID, r.Revision)}
	if err := p.choose(files, r); err != nil {
		return nil, err
	}
	if err := s.lookAtDisk(p); err != nil {
		return nil, err
	}
	active, err := s.q.ActiveOfTarget(ctx, s.o.DB, p.Target)
	if err == nil {
		p.ActiveID = &active.ID
	} else if !postgres.NotFound(err) {
		return nil, fmt.Errorf("look for an active download: %w", err)
	}
	return p, nil
}

func (s *Service) tokenOf(r Request) string {
	if r.Token != "" {
		return r.Token
	}
	return s.o.Token
}

// choose applies the patterns.
func (p *TransferPlan) choose(files []hub.File, r Request) error {
	include, exclude := compilePatterns(r.Include), compilePatterns(r.Exclude)
	p.Files = make([]PlannedFile, len(files))
	for i, f := range files {
		wanted := selects(f.Path, include, exclude)
		p.Files[i] = PlannedFile{Path: f.Path, Size: f.Size, HashKind: f.HashKind, Hash: f.Hash, Selected: wanted}
		if !wanted {
			continue
		}
		p.selected = append(p.selected, f)
		if p.BytesTotal += f.Size; p.BytesTotal < 0 {
			return errs.E(errs.Invalid, "download.too_large", "The sizes that the hub publishes add up to more than can be.")
		}
	}
	p.FilesTotal = len(p.selected)
	return checkFiles(p.selected)
}

// lookAtDisk finds out what is there already, and whether the rest fits.
func (s *Service) lookAtDisk(p *TransferPlan) error {
	manifest, err := transfer.ReadManifest(s.models(), p.Target)
	if err != nil {
		return err
	}
	present := map[string]bool{}
	if manifest != nil {
		for _, e := range manifest.Files {
			present[e.Path+"\x00"+e.HashKind+"-"+e.Hash] = true
		}
		if manifest.Commit != p.Commit {
			p.Replaces = manifest.Commit
		}
	}
	var missing []transfer.File
	for i := range p.Files {
		f := &p.Files[i]
		f.Present = present[f.Path+"\x00"+f.HashKind+"-"+f.Hash]
		switch {
		case f.Selected && f.Present:
			p.BytesPresent += f.Size
		case f.Selected:
			missing = append(missing, transfer.File{Path: f.Path, Size: f.Size, HashKind: f.HashKind, Hash: f.Hash})
		}
	}
	p.Complete = manifest != nil && p.Replaces == "" && len(missing) == 0 && p.FilesTotal > 0
	p.BytesKept = transfer.Kept(s.models(), p.Target, missing)
	p.BytesToFetch = max(0, p.BytesTotal-p.BytesPresent-p.BytesKept)
	space, err := transfer.SpaceAt(existing(s.models()))
	if err != nil {
		return fmt.Errorf("look at the disk: %w", err)
	}
	p.Disk = DiskSpace{Free: space.Free, Total: space.Total, Reserve: s.o.Reserve}
	p.Fits = p.BytesToFetch <= space.Free-s.o.Reserve
	return nil
}

// existing is the nearest folder above that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// refuse tells why a plan cannot become a job.
func (p *TransferPlan) refuse() error {
	switch {
	case p.FilesTotal == 0 && len(p.Files) == 0:
		return errs.Ef(errs.Invalid, "download.no_files", "%s has no files at %s.", p.RepoID, p.Revision)
	case p.FilesTotal == 0:
		return errs.Ef(errs.Invalid, "download.no_files", "None of the %d files of %s is selected by these patterns.", len(p.Files), p.RepoID)
	case p.Complete:
		return errs.Ef(errs.Conflict, "download.present", "All %d files are in models/%s already, at this very commit.", p.FilesTotal, p.Target)
	case !p.Fits:
		return noSpace(p.BytesToFetch, p.Disk.Free, p.Disk.Reserve)
	}
	return nil
}

func noSpace(need, free, reserve int64) error {
	return errs.Ef(errs.Conflict, "download.no_space",
		"It does not fit: %s are to be downloaded, %s are free in the data folder, and %s of those have to stay free. Free %s, or select fewer files.",
		bytesText(need), bytesText(free), bytesText(reserve), bytesText(need-(free-reserve)))
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	value, unit := float64(max(n, 0)), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", max(n, 0))
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// explained turns what the hub said into an error of ours.
func explained(err error) error {
	e := hub.As(err)
	if e == nil && errors.Is(err, context.DeadlineExceeded) {
		return errs.E(errs.Timeout, "download.hub_timeout", "The hub did not answer in time. Try again, or check the network and HF_ENDPOINT.").With(err)
	}
	if e == nil {
		return err
	}
	reason, place := "download."+string(e.Kind), "body.repo_id"
	switch e.Kind {
	case hub.Unauthorized, hub.Gated, hub.Forbidden:
		place = "body.token"
	case hub.NoRevision:
		place = "body.revision"
	case hub.NoRepo, hub.NoFile, hub.Disabled, hub.TooMany:
	default:
		return errs.E(errs.Unavailable, reason, e.Message).With(err).Retry(e.After)
	}
	out := errs.E(errs.Invalid, reason, e.Message).With(err)
	out.Details = []errs.Detail{{Location: place, Message: strings.ReplaceAll(string(e.Kind), "_", " ")}}
	return out
}
