package download

import (
	"context"
	"fmt"
	"strconv"

	"github.com/llmctl/studio/internal/download/dbsqlc"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Origin is who caused a job.
type Origin struct {
	UserID                   *int64
	RequestID, CorrelationID string
}

// Prepared is a request that can become a job: planned, or found to be one already.
type Prepared struct {
	request  Request
	plan     *TransferPlan
	existing *Job
}

// Prepare plans a request outside any transaction. Errors are those of Plan, and
// conflict when it does not fit or is there already.
func (s *Service) Prepare(ctx context.Context, r Request) (*Prepared, error) {
	if err := r.clean(); err != nil {
		return nil, err
	}
	same, err := s.q.ActiveLike(ctx, s.o.DB, dbsqlc.ActiveLikeParams{RepoID: r.RepoID, Revision: r.Revision, Include: r.Include, Exclude: r.Exclude})
	if err == nil {
		return &Prepared{request: r, existing: &same}, nil
	}
	if !postgres.NotFound(err) {
		return nil, fmt.Errorf("look for the same download: %w", err)
	}
	plan, err := s.Plan(ctx, r)
	if err != nil {
		return nil, err
	}
	if plan.ActiveID == nil { // else CreateTx says which one it is
		if err := plan.refuse(); err != nil {
			return nil, err
		}
	}
	return &Prepared{request: r, plan: plan}, nil
}

// CreateTx makes the job, its files, its entry in the queue and its first event, as
// part of tx. created is false when an unfinished job does the same already: that
// one is given. Errors: conflict when another one has the target.
func (s *Service) CreateTx(ctx context.Context, tx *postgres.Tx, p *Prepared, by Origin) (job Job, created bool, err error) {
	if p.existing != nil {
		return *p.existing, false, nil
	}
	pending, err := s.q.PendingCleanupOfTarget(ctx, tx, p.plan.Target)
	if err != nil {
		return Job{}, false, fmt.Errorf("look for a removal: %w", err)
	}
	if pending {
		return Job{}, false, errs.Ef(errs.Conflict, "download.being_removed", "models/%s is being removed. Try again in a moment.", p.plan.Target)
	}
	job, err = s.q.InsertJob(ctx, tx, dbsqlc.InsertJobParams{
		RepoID: p.plan.RepoID, Revision: p.request.Revision, CommitID: p.plan.Commit, Include: p.request.Include, Exclude: p.request.Exclude,
		Target: p.plan.Target, BytesTotal: p.plan.BytesTotal, FilesTotal: int32(p.plan.FilesTotal),
		AppUserID: by.UserID, RequestID: by.RequestID, CorrelationID: by.CorrelationID,
	})
	if postgres.NotFound(err) {
		return s.occupied(ctx, tx, p)
	}
	if err != nil {
		return Job{}, false, fmt.Errorf("insert download: %w", err)
	}
	if err := s.insertFiles(ctx, tx, job.ID, p.plan); err != nil {
		return Job{}, false, err
	}
	if job, err = s.keepToken(ctx, tx, job, p.request.Token); err != nil {
		return Job{}, false, err
	}
	if err := s.o.Queue.Enqueue(ctx, tx, []Pointer{{ID: job.ID}}); err != nil {
		return Job{}, false, err
	}
	return job, true, s.announce(ctx, tx, &job, nil)
}

// occupied tells what the unfinished job of the target is.
func (s *Service) occupied(ctx context.Context, tx *postgres.Tx, p *Prepared) (Job, bool, error) {
	other, err := s.q.ActiveOfTarget(ctx, tx, p.plan.Target)
	if postgres.NotFound(err) {
		return Job{}, false, errs.E(errs.Conflict, "download.target_busy", "Another download of this target has just ended. Try again.")
	}
	if err != nil {
		return Job{}, false, fmt.Errorf("look for the active download: %w", err)
	}
	same := other.CommitID == p.plan.Commit && equal(other.Include, p.request.Include) && equal(other.Exclude, p.request.Exclude)
	if !same {
		return Job{}, false, errs.Ef(errs.Conflict, "download.target_busy",
			"Download %d (%s) writes models/%s with other patterns or another commit. Wait for its end, or cancel it.", other.ID, other.Status, other.Target)
	}
	return other, false, nil
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

const insertFilesSQL = `INSERT INTO download_file (download_job_id, path, size, hash_kind, hash)
SELECT $1, t.path, t.size, t.hash_kind, t.hash FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) AS t (path, size, hash_kind, hash)`

func (s *Service) insertFiles(ctx context.Context, tx *postgres.Tx, id int64, p *TransferPlan) error {
	n := len(p.selected)
	paths, sizes, kinds, hashes := make([]string, n), make([]int64, n), make([]string, n), make([]string, n)
	for i, f := range p.selected {
		paths[i], sizes[i], kinds[i], hashes[i] = f.Path, f.Size, f.HashKind, f.Hash
	}
	if _, err := tx.Exec(ctx, insertFilesSQL, id, paths, sizes, kinds, hashes); err != nil {
		return fmt.Errorf("insert files of download %d: %w", id, err)
	}
	return nil
}

func binding(id int64) []byte { return []byte("download_job:" + strconv.FormatInt(id, 10)) }

func (s *Service) keepToken(ctx context.Context, tx *postgres.Tx, job Job, token string) (Job, error) {
	if token == "" {
		return job, nil
	}
	sealed, err := s.o.Seal.Seal([]byte(token), binding(job.ID))
	if err != nil {
		return job, fmt.Errorf("seal token of download %d: %w", job.ID, err)
	}
	job, err = s.q.SetToken(ctx, tx, dbsqlc.SetTokenParams{ID: job.ID, Ciphertext: sealed, Fingerprint: s.o.Fingerprint(token)})
	if err != nil {
		return job, fmt.Errorf("store token of download %d: %w", job.ID, err)
	}
	return job, nil
}
