package index

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/llmctl/studio/internal/document"
	"github.com/llmctl/studio/internal/rag/chunk"
)

// Documents cuts files with the parsers and the chunker of the Studio.
type Documents struct {
	Parser  document.Parser
	Limits  document.Limits
	Options chunk.Options
}

// wordsVersion is that of what the full text is told of a chunk beside its text. With 2 it knows scripts without spaces, and
// the parts of paths and headings.
const wordsVersion = "w2"

// Signature implements Cutter: the versions of both and of the words, and what decides about the cuts.
func (d Documents) Signature() string {
	o := d.Options
	return fmt.Sprintf("%s/%s/%s/%d/%d/%d", document.Signature, chunk.Signature, wordsVersion, o.TargetTokens, o.MaxTokens, o.OverlapTokens)
}

// sniffed is how much of a file is looked at to tell what it is.
const sniffed = 8 << 10

// Cut implements Cutter.
func (d Documents) Cut(ctx context.Context, name string, data []byte) (Cut, error) {
	if _, _, ok := document.Detect(name, data[:min(len(data), sniffed)]); !ok {
		return Cut{Binary: true}, nil
	}
	doc, err := d.Parser.Parse(ctx, name, data, d.Limits)
	if e, ok := errors.AsType[*document.Error](err); ok {
		if e.Code == document.Unsupported {
			return Cut{Binary: true}, nil
		}
		return Cut{}, &FileError{Code: e.Code, Message: path.Base(name) + " " + e.Message}
	}
	if err != nil {
		return Cut{}, err
	}
	out := Cut{Kind: string(doc.Kind), Language: doc.Language, Title: doc.Title}
	for _, c := range chunk.Split(name, doc, d.Options) {
		out.Chunks = append(out.Chunks, Chunk{
			Key: c.Key, Text: c.Text, Context: c.Context, Heading: c.Heading, LineStart: c.LineStart, LineEnd: c.LineEnd, Page: c.Page, Tokens: c.Tokens,
		})
	}
	return out, nil
}
