package document

import (
	"context"
	"errors"
	"slices"
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

// Inspect says what a file is, and refuses what no parser should get. Error: *Error.
func Inspect(path string, data []byte, l Limits) (kind Kind, language string, err error) {
	kind, language, ok := Detect(path, data)
	if !ok {
		return kind, language, &Error{Unsupported, "is of a format that is not read."}
	}
	if most := l.WithDefaults().MaxBytes; int64(len(data)) > most {
		return kind, language, errTooLarge("bytes", most)
	}
	return kind, language, nil
}

// Parse reads a whole file in this process. Errors: *Error, or the cause of ctx when that
// ended. A parser that does not look up from its work in time is left behind; see Parser.
func Parse(ctx context.Context, path string, data []byte, l Limits) (Document, error) {
	l = l.WithDefaults()
	timed, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	type result struct {
		d   Document
		err error
	}
	done := make(chan result, 1)
	go func() {
		d, err := ParseHere(timed, path, data, l)
		done <- result{d, err}
	}()
	select {
	case r := <-done:
		if ctx.Err() != nil && isEnd(r.err) {
			return Document{}, context.Cause(ctx)
		}
		return r.d, r.err
	case <-timed.Done():
		if ctx.Err() != nil {
			return Document{}, context.Cause(ctx)
		}
		return Document{}, SlowError(l.Timeout)
	}
}

func isEnd(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == TooSlow
}

// ParseHere is Parse for processes that are there to parse: the deadline is that of ctx,
// and it returns only when the parser does. Error: *Error.
func ParseHere(ctx context.Context, path string, data []byte, l Limits) (Document, error) {
	l = l.WithDefaults()
	kind, language, err := Inspect(path, data, l)
	if err != nil {
		return Document{}, err
	}
	d, err := parseKind(ctx, kind, &file{path: path, language: language, data: data, limits: l})
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Document{}, SlowError(l.Timeout)
	}
	if err != nil {
		return Document{}, err
	}
	d.Kind, d.Language = kind, language
	d.Title = oneLine(d.Title, maxName)
	return bounded(d, l)
}

// bounded holds a document to the number of blocks that it may have.
func bounded(d Document, l Limits) (Document, error) {
	switch {
	case len(d.Blocks) == 0:
		return Document{}, errNoText("has no text in it.")
	case len(d.Blocks) > MaxBlocks && !l.Truncate:
		return Document{}, errTooLarge("paragraphs, rows or entries", MaxBlocks)
	case len(d.Blocks) > MaxBlocks:
		d.Blocks, d.Truncated = slices.Clone(d.Blocks[:MaxBlocks]), true
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
