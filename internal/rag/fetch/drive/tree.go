package drive

import (
	"context"
	"io"
	"net/http"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
)

// tree is a folder as it was listed.
type tree struct {
	f      *Fetcher
	l      *listing
	byPath map[string]*file
}

func newTree(f *Fetcher, l *listing) *tree {
	t := &tree{f: f, l: l, byPath: make(map[string]*file, len(l.files))}
	for i := range l.files {
		t.byPath[l.files[i].path] = &l.files[i]
	}
	return t
}

// Revision implements fetch.Tree: folders of Drive have none.
func (t *tree) Revision() string { return "" }

// Close implements fetch.Tree.
func (t *tree) Close() error { return nil }

// Walk implements fetch.Tree.
func (t *tree) Walk(ctx context.Context, f func(fetch.Item) error) (fetch.Skipped, error) {
	skipped := fetch.Skipped{Excluded: t.l.excluded, Binary: t.l.other}
	for _, path := range t.l.deep {
		skipped.CannotRead(path, "it lies too deep")
	}
	for _, u := range t.l.unlisted {
		skipped.CannotList(u.Path, u.Reason)
	}
	for i := range t.l.files {
		if err := ctx.Err(); err != nil {
			return skipped, err
		}
		d := &t.l.files[i]
		size := d.size
		if d.export.mime != "" {
			size = -1 // what Drive stores of it says nothing of what is exported
		}
		if !skipped.Count(t.f.o.Filter.File(d.path, size)) {
			continue
		}
		item := fetch.Item{Path: d.path, Size: d.size, Fingerprint: fingerprint(d), ModifiedAt: moment(d.modified), MediaType: d.mime}
		if d.export.mime != "" {
			item.MediaType = d.export.mime
		}
		if err := f(item); err != nil {
			return skipped, err
		}
	}
	return skipped, nil
}

// fingerprint is the checksum of what was uploaded, and the time of the last change of
// what is written in Drive.
func fingerprint(d *file) string {
	if d.md5 != "" {
		return "drive:md5:" + d.md5
	}
	return "drive:time:" + d.id + ":" + d.modified
}

// Open implements fetch.Tree.
func (t *tree) Open(ctx context.Context, item fetch.Item, limit int64) (io.ReadCloser, error) {
	d := t.byPath[item.Path]
	if d == nil {
		return nil, fetch.GoneError(item.Path)
	}
	if limit > 0 && d.export.mime == "" && d.size > limit {
		return nil, fetch.TooLargeError(item.Path, limit)
	}
	var res *http.Response
	var p *patience
	err := t.f.try(ctx, nil, func(context.Context) (err error) { // the body is read after that, so its time is another
		p = newPatience(ctx, item.Path)
		if d.export.mime != "" {
			res, err = t.f.api.Files.Export(d.id, d.export.mime).Context(p.ctx).Download() //nolint:bodyclose,contextcheck // the reader closes it; p.ctx is made of ctx
		} else {
			res, err = t.f.api.Files.Get(d.id).SupportsAllDrives(true).Context(p.ctx).Download() //nolint:bodyclose,contextcheck // the reader closes it; p.ctx is made of ctx
		}
		if err != nil {
			err = p.explain(err)
			p.end()
		}
		return err
	})
	switch {
	case errs.HasReason(err, "rag.drive_not_found"):
		return nil, fetch.GoneError(item.Path).With(err)
	case err != nil:
		return nil, err
	}
	return fetch.Limited(p.body(res.Body), item.Path, limit), nil
}
