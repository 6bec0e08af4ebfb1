package source

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/fetch/drive"
	"github.com/llmctl/studio/internal/rag/fetch/git"
	"github.com/llmctl/studio/internal/rag/fetch/local"
)

// Open gives what reads a source, with its secret and its selection. Errors: not_found,
// also of a deleted one; precondition when its secret cannot be read; invalid when what
// is stored is not accepted any more (an allowed folder was taken away).
func (s *Service) Open(ctx context.Context, q postgres.Querier, id int64) (fetch.Fetcher, Row, error) {
	r, err := s.live(ctx, q, id)
	if err != nil {
		return nil, r, err
	}
	secret, err := s.secret(&r)
	if err != nil {
		return nil, r, err
	}
	f := fieldsOf(&r)
	fetcher, err := s.fetcher(ctx, q, id, &f, secret)
	return fetcher, r, err
}

func (s *Service) live(ctx context.Context, q postgres.Querier, id int64) (Row, error) {
	r, err := s.Row(ctx, q, id)
	if err == nil && r.DeletedAt != nil {
		err = errs.Ef(errs.NotFound, "rag.source_deleted", "The source %q is deleted.", r.Name)
	}
	return r, err
}

func (s *Service) fetcher(ctx context.Context, q postgres.Querier, id int64, f *Fields, secret string) (fetch.Fetcher, error) {
	filter, err := s.filter(ctx, q, f)
	if err != nil {
		return nil, err
	}
	switch f.Kind {
	case rag.KindLocal:
		return local.New(s.o.Roots, f.Path, filter), nil
	case rag.KindGit:
		o := git.Options{
			DataDir: s.o.DataDir, SourceID: id, URL: f.URL, Branch: f.Branch, Subfolder: f.Subfolder, Submodules: f.Submodules,
			Filter: filter, Roots: s.o.Roots, Resolver: s.o.Resolver,
		}
		if _, key := git.NeedsKey(f.URL); key {
			o.SSHKey = secret
		} else {
			o.Token = secret
		}
		return git.New(o)
	case rag.KindDrive:
		return drive.New(drive.Options{FolderID: f.FolderID, Endpoint: f.Endpoint, Account: secret, Filter: filter, Client: s.o.HTTP}) //nolint:contextcheck // its requests have contexts of their own
	}
	return nil, fmt.Errorf("source %d is of kind %q", id, f.Kind)
}

func (s *Service) filter(ctx context.Context, q postgres.Querier, f *Fields) (*fetch.Filter, error) {
	text, pdf, err := s.o.Limits(ctx, q)
	if err != nil {
		return nil, err
	}
	if f.MaxFileBytes != nil {
		text = *f.MaxFileBytes
	}
	return fetch.NewFilter(fetch.Selection{Include: f.Include, Exclude: f.Exclude, MaxFileBytes: text, MaxPDFBytes: pdf}), nil
}

// CheckNew looks whether a source that is not stored can be read. Errors: invalid, and
// those of the fetcher.
func (s *Service) CheckNew(ctx context.Context, f Fields, g Given) (fetch.Report, error) {
	var bad faults
	if f.Name == "" {
		f.Name = "-" // it has none yet
	}
	f.check(s.o.Roots, &bad)
	_, secret := g.check(&f, &bad)
	if err := bad.err(); err != nil {
		return fetch.Report{}, err
	}
	fetcher, err := s.fetcher(ctx, s.o.DB, 0, &f, secret)
	if err != nil {
		return fetch.Report{}, err
	}
	return fetcher.Check(ctx)
}

// CheckStored looks whether a stored source can be read, changed by c or as it is. A
// stored secret goes along as it would after that change; one that cannot be read is in
// nobody's way who enters another, or checks a place that it is not for. Errors: those of
// Open, and of the fetcher.
func (s *Service) CheckStored(ctx context.Context, id int64, c Change) (fetch.Report, error) {
	r, err := s.live(ctx, s.o.DB, id)
	if err != nil {
		return fetch.Report{}, err
	}
	before := fieldsOf(&r)
	f := before
	if c.Apply != nil {
		c.Apply(&f)
	}
	var bad faults
	f.check(s.o.Roots, &bad)
	kind, secret := c.Secrets.check(&f, &bad)
	if err := bad.err(); err != nil {
		return fetch.Report{}, err
	}
	if kind == "" && homeOf(&before) == homeOf(&f) && fits(&f, r.CredentialKind) && !c.Secrets.removes(r.CredentialKind) {
		if secret, err = s.secret(&r); err != nil {
			return fetch.Report{}, err
		}
	}
	fetcher, err := s.fetcher(ctx, s.o.DB, id, &f, secret)
	if err != nil {
		return fetch.Report{}, err
	}
	return fetcher.Check(ctx)
}
