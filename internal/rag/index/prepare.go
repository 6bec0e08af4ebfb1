package index

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/embed"
)

// prepare reads files and cuts them.
func (p *pipeline) prepare(ctx context.Context, in <-chan task, out chan<- *product) error {
	for t := range in {
		made := &product{task: t, began: p.a.s.o.Now()}
		switch {
		case t.action == actionRemove:
		case t.deadly():
			made.failed = diedOn(t.tries)
		default:
			if err := p.bytes.Acquire(ctx, t.weight()); err != nil {
				return context.Cause(ctx)
			}
			made.weighs = t.weight()
			if err := p.read(ctx, made); err != nil {
				return err
			}
		}
		made.took = p.a.s.o.Now().Sub(made.began)
		if err := send(ctx, out, made); err != nil {
			return err
		}
	}
	return nil
}

// read fills in a product. What it returns as an error is no fault of the file.
func (p *pipeline) read(ctx context.Context, made *product) error {
	if err := p.a.s.at("read " + made.path); err != nil {
		return err
	}
	err := p.cut(ctx, made)
	p.a.beat()
	if err == nil || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	made.failed = fileError(err)
	return nil
}

func (p *pipeline) cut(ctx context.Context, made *product) error {
	data, err := p.content(ctx, made)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	made.size, made.hash = int64(len(data)), sum[:]
	if p.unchanged(made) {
		made.carried = true
		return nil
	}
	if made.cut, err = p.a.setup.Cutter.Cut(ctx, made.path, data); err != nil {
		return err
	}
	made.name(p.a.setup.Embedder)
	return nil
}

// name fills in what is embedded of the chunks, and what names their vectors: the same
// with and without an embedder.
func (m *product) name(e Embedder) {
	m.hashes = make([][]byte, len(m.cut.Chunks))
	texts := make([]string, len(m.cut.Chunks))
	for i, c := range m.cut.Chunks {
		texts[i] = Text(c)
		m.hashes[i] = embed.Hash(texts[i])
	}
	if e != nil {
		m.texts = texts
	}
}

// Text is what is embedded of a chunk: where it stands, and what it says.
func Text(c Chunk) string {
	if c.Context == "" {
		return c.Text
	}
	return c.Context + "\n\n" + c.Text
}

// unchanged reports whether what is indexed of a file is what would be made of it again.
func (p *pipeline) unchanged(made *product) bool {
	return p.t.run.Mode == rag.Delta && made.action == actionChange && same(p.t.source.RagEmbedderID, p.a.embedderID) &&
		made.signature == p.a.setup.Cutter.Signature() && bytes.Equal(made.hash, made.task.hash)
}

func (p *pipeline) content(ctx context.Context, made *product) ([]byte, error) {
	limit := p.a.setup.MaxFileBytes
	if own := p.t.source.MaxFileBytes; own != nil {
		limit = *own
	}
	switch strings.ToLower(path.Ext(made.path)) {
	case ".pdf", ".docx", ".pptx", ".xlsx":
		limit = max(limit, p.a.setup.MaxPDFBytes)
	}
	r, err := p.t.tree.Open(ctx, made.item, limit)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// longestError bounds, in characters, what is kept of why a file failed.
const longestError = 500

// fileError says why one file was not indexed, in a sentence that fits into its row.
func fileError(err error) *FileError {
	if f, ok := errors.AsType[*FileError](err); ok {
		return &FileError{Code: f.Code, Message: clip(f.Message, longestError)}
	}
	e, ok := errors.AsType[*errs.Error](err)
	switch {
	case ok && e.Code == errs.NotFound:
		return &FileError{FileChanged, "The file was gone when its turn came. The next index run will say what became of it."}
	case ok && e.Code == errs.TooLarge:
		return &FileError{FileTooLarge, clip(e.Message, longestError)}
	case ok && e.Code != errs.Internal:
		return &FileError{FileUnreadable, clip(e.Message, longestError)}
	}
	return &FileError{FileUnreadable, clip(fmt.Sprintf("The file could not be read: %v.", err), longestError)}
}
