package document

import (
	"context"
	"errors"
	"strings"
)

// parseFunc reads one format. Errors: *Error, or that of ctx.
type parseFunc func(ctx context.Context, f *file) (Document, error)

// file is what a parser reads.
type file struct {
	path     string
	language string
	data     []byte
	limits   Limits
	src      *source // of formats that are text
}

// Parse reads a whole file. Error: *Error. A parser that does not end in time is left
// behind: none of them can be interrupted everywhere, and all are linear in practice.
func Parse(ctx context.Context, path string, data []byte, l Limits) (Document, error) {
	l = l.withDefaults()
	kind, language, ok := Detect(path, data)
	if !ok {
		return Document{}, &Error{Unsupported, "is of a format that is not read."}
	}
	if int64(len(data)) > l.MaxBytes {
		return Document{}, errTooLarge("bytes", l.MaxBytes)
	}
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	type result struct {
		d   Document
		err error
	}
	done := make(chan result, 1)
	go func() {
		d, err := parseKind(ctx, kind, &file{path: path, language: language, data: data, limits: l})
		done <- result{d, err}
	}()
	select {
	case r := <-done:
		return finish(r.d, r.err, kind, language, l)
	case <-ctx.Done():
		return Document{}, errTimeout(l.Timeout)
	}
}

func finish(d Document, err error, kind Kind, language string, l Limits) (Document, error) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Document{}, errTimeout(l.Timeout)
	}
	if err != nil {
		return Document{}, err
	}
	d.Kind, d.Language = kind, language
	d.Title = oneLine(d.Title, maxName)
	if len(d.Blocks) == 0 {
		return Document{}, errNoText("has no text in it.")
	}
	return d, nil
}

// parseKind runs the parser of a kind. One that panics met a broken file.
func parseKind(ctx context.Context, kind Kind, f *file) (d Document, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, err = Document{}, errUnreadable("a file")
		}
	}()
	if parse := binaryParsers(kind); parse != nil {
		return parse(ctx, f)
	}
	text := decode(f.data, kind == HTML)
	truncated := false
	if int64(len(text)) > f.limits.MaxTextBytes {
		if !f.limits.Truncate {
			return Document{}, errTooLarge("bytes of text", f.limits.MaxTextBytes)
		}
		text, truncated = strings.ToValidUTF8(text[:f.limits.MaxTextBytes], ""), true
	}
	f.src = newSource(text)
	if err := ctx.Err(); err != nil {
		return Document{}, err
	}
	d, err = textParser(kind, f.language, f.path)(ctx, f)
	d.Truncated = d.Truncated || truncated
	return d, err
}

func binaryParsers(kind Kind) parseFunc {
	switch kind {
	case PDF:
		return parsePDF
	case DOCX:
		return parseDOCX
	case PPTX:
		return parsePPTX
	case XLSX:
		return parseXLSX
	default:
		return nil
	}
}

func textParser(kind Kind, language, path string) parseFunc {
	switch kind {
	case Markdown:
		return parseMarkdown
	case HTML:
		return parseHTML
	case Code:
		return parseCode
	case Config:
		return configParser(language)
	default:
		if s := strings.ToLower(path); strings.HasSuffix(s, ".rst") || strings.HasSuffix(s, ".rest") {
			return parseRST
		}
		return parsePlain
	}
}

// oneLine is s on one line of at most limit bytes.
func oneLine(s string, limit int) string {
	if len(s) <= limit && !strings.ContainsAny(s, "\n\t") && !strings.Contains(s, "  ") {
		return strings.TrimSpace(s)
	}
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit-3], "") + "…"
	}
	return s
}
