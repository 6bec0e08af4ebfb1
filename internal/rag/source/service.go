package source

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch/git"
	"github.com/llmctl/studio/internal/rag/fetch/local"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/rag/source/dbsqlc"
)

// Sealer encrypts and decrypts; the associated data binds a secret to its row.
type Sealer interface {
	Seal(plaintext, associatedData []byte) ([]byte, error)
	Open(ciphertext, associatedData []byte) ([]byte, error)
}

// Schedules keep when sources are indexed.
type Schedules interface {
	// Set stores a source's schedule; nil removes it. Error: invalid, with details that
	// begin at body.schedule.
	Set(ctx context.Context, tx *postgres.Tx, sourceID int64, name string, s *IndexSchedule, user *int64) error
	// Of gives schedules by source.
	Of(ctx context.Context, q postgres.Querier, sourceIDs []int64) (map[int64]IndexSchedule, error)
	// Suspend puts the schedule of a source aside that is deleted in this transaction.
	Suspend(ctx context.Context, tx *postgres.Tx, sourceID int64) error
	// Resume takes that back; at is when the source was deleted.
	Resume(ctx context.Context, tx *postgres.Tx, sourceID int64, at time.Time) error
}

// Limits give how large files may be, where a source does not say.
type Limits func(ctx context.Context, q postgres.Querier) (maxFile, maxPDF int64, err error)

// Options wire a Service.
type Options struct {
	DB          *postgres.DB
	Log         *event.Log
	Seal        Sealer
	Fingerprint func(string) string
	Schedules   Schedules
	Runs        Runs
	Limits      Limits
	Roots       local.Roots
	DataDir     string
	Resolver    git.Resolver // which addresses repositories may be at
	HTTP        *http.Client // how Drive is asked; it refuses what Resolver refuses
}

// Runs shows index runs.
type Runs interface {
	// Views gives those that are there, by id.
	Views(ctx context.Context, q postgres.Querier, ids []int64) (map[int64]index.RunDetail, error)
}

// Service keeps sources.
type Service struct {
	o Options
	q *dbsqlc.Queries
}

// New makes a service.
func New(o Options) *Service { return &Service{o: o, q: dbsqlc.New()} }

// Roots are the folders that local sources may lie in.
func (s *Service) Roots() local.Roots { return s.o.Roots }

func notFound(id int64) error {
	return errs.Ef(errs.NotFound, "rag.source_not_found", "There is no source %d.", id)
}

// Row gives a source, deleted or not. Error: not_found.
func (s *Service) Row(ctx context.Context, q postgres.Querier, id int64) (Row, error) {
	r, err := s.q.GetRow(ctx, q, id)
	if postgres.NotFound(err) {
		return r, notFound(id)
	}
	if err != nil {
		return r, fmt.Errorf("load source %d: %w", id, err)
	}
	return r, nil
}

// MissingSources lists which of the ids are no sources.
func (s *Service) MissingSources(ctx context.Context, q postgres.Querier, ids []int64) ([]int64, error) {
	missing, err := s.q.MissingSources(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("look for sources: %w", err)
	}
	return missing, nil
}

// Create stores a source. Errors: invalid, with all faults; conflict when the name is
// taken or there are too many.
func (s *Service) Create(ctx context.Context, tx *postgres.Tx, f Fields, c Change, user *int64) (View, error) {
	var bad faults
	f.check(s.o.Roots, &bad)
	kind, value := c.Secrets.check(&f, &bad)
	if err := bad.err(); err != nil {
		return View{}, err
	}
	if err := s.refuseMore(ctx, tx); err != nil {
		return View{}, err
	}
	raw, err := json.Marshal(f.Config)
	if err != nil {
		return View{}, fmt.Errorf("encode source: %w", err)
	}
	r, err := s.q.InsertSource(ctx, tx, dbsqlc.InsertSourceParams{
		Name: f.Name, Kind: f.Kind, Config: raw, Include: f.Include, Exclude: f.Exclude, MaxFileBytes: f.MaxFileBytes, AppUserID: user,
	})
	if err != nil {
		return View{}, nameError(err, f.Name)
	}
	if kind != "" {
		if err := s.setSecret(ctx, tx, r.ID, kind, value); err != nil {
			return View{}, err
		}
	}
	if c.Schedule != nil {
		if err := s.o.Schedules.Set(ctx, tx, r.ID, r.Name, c.Schedule, user); err != nil {
			return View{}, err
		}
	}
	return s.announce(ctx, tx, r.ID, "created")
}

func (s *Service) refuseMore(ctx context.Context, q postgres.Querier) error {
	n, err := s.q.CountSources(ctx, q)
	if err != nil {
		return fmt.Errorf("count sources: %w", err)
	}
	if n >= MaxSources {
		return errs.Ef(errs.Conflict, "rag.too_many_sources", "There are %d sources; that is the limit. Delete some first.", n)
	}
	return nil
}

func nameError(err error, name string) error {
	if postgres.IsUnique(err, "rag_source_name") {
		return errs.E(errs.Conflict, "rag.source_duplicate_name", fmt.Sprintf("There is a source named %q already. Choose another name.", name),
			errs.Detail{Location: "body.name", Message: "is taken"}).With(err)
	}
	return fmt.Errorf("store source: %w", err)
}

func (s *Service) lock(ctx context.Context, tx *postgres.Tx, id, revision int64) (dbsqlc.LockSourceRow, error) {
	l, err := s.q.LockSource(ctx, tx, id)
	if postgres.NotFound(err) {
		return l, notFound(id)
	}
	if err != nil {
		return l, fmt.Errorf("lock source %d: %w", id, err)
	}
	if revision != 0 && l.RagSource.Revision != revision {
		return l, errs.E(errs.Precondition, "rag.source_stale", "Somebody saved this source in the meantime. Load it again, then repeat your change.")
	}
	return l, nil
}

// Updated is a changed source.
type Updated struct {
	View
	// SecretRemoved tells that its secret was removed because the source is elsewhere now.
	SecretRemoved bool
}

// Update changes a source; the next index run takes note of it. Errors: not_found,
// precondition, conflict when it is deleted or the name is taken, invalid.
func (s *Service) Update(ctx context.Context, tx *postgres.Tx, id, revision int64, c Change, user *int64) (Updated, error) {
	var out Updated
	l, err := s.lock(ctx, tx, id, revision)
	if err != nil {
		return out, err
	}
	old := l.RagSource
	if old.DeletedAt != nil {
		return out, errs.Ef(errs.Conflict, "rag.source_deleted", "The source %q is deleted. Restore it first.", old.Name)
	}
	before := fieldsOf(&old)
	f := before
	c.Apply(&f)
	var bad faults
	f.check(s.o.Roots, &bad)
	kind, value := c.Secrets.check(&f, &bad)
	if err := bad.err(); err != nil {
		return out, err
	}
	if err := s.store(ctx, tx, id, f); err != nil {
		return out, err
	}
	moved := homeOf(&before) != homeOf(&f) || !fits(&f, old.CredentialKind)
	out.SecretRemoved = kind == "" && moved && old.CredentialKind != ""
	if kind != "" || out.SecretRemoved || c.Secrets.removes(old.CredentialKind) {
		if err := s.setSecret(ctx, tx, id, kind, value); err != nil {
			return out, err
		}
	}
	if err := s.reschedule(ctx, tx, id, &before, &f, c, user); err != nil {
		return out, err
	}
	out.View, err = s.announce(ctx, tx, id, "updated")
	return out, err
}

// removes tells whether a request takes a stored secret away.
func (g Given) removes(stored string) bool {
	for _, s := range g.each() {
		if s.value != nil && *s.value == "" && s.kind == stored {
			return true
		}
	}
	return false
}

func (s *Service) store(ctx context.Context, tx *postgres.Tx, id int64, f Fields) error {
	raw, err := json.Marshal(f.Config)
	if err != nil {
		return fmt.Errorf("encode source: %w", err)
	}
	_, err = s.q.UpdateSource(ctx, tx, dbsqlc.UpdateSourceParams{
		ID: id, Name: f.Name, Config: raw, Include: f.Include, Exclude: f.Exclude, MaxFileBytes: f.MaxFileBytes,
	})
	if err != nil {
		return nameError(err, f.Name)
	}
	return nil
}

// reschedule stores the schedule if it was given; it bears the source's name.
func (s *Service) reschedule(ctx context.Context, tx *postgres.Tx, id int64, before, after *Fields, c Change, user *int64) error {
	want := c.Schedule
	if !c.SetSchedule {
		if before.Name == after.Name {
			return nil
		}
		known, err := s.o.Schedules.Of(ctx, tx, []int64{id})
		if err != nil {
			return err
		}
		if has, ok := known[id]; ok {
			want = &has
		}
	}
	return s.o.Schedules.Set(ctx, tx, id, after.Name, want, user)
}
