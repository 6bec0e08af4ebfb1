package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ledongthuc/pdf"
)

// Bounds of reading a PDF.
const (
	pdfTimeout  = 20 * time.Second
	maxPDFPages = 2000
)

// readPDF gives the text of a PDF's pages. The parser reads what anybody made: it may
// panic, which is a fault of the file; and it cannot be interrupted within a page, so
// it runs beside and is left behind when its time is over.
func readPDF(ctx context.Context, data []byte, limit int) (Content, error) {
	ctx, cancel := context.WithTimeout(ctx, pdfTimeout)
	defer cancel()
	type result struct {
		c   Content
		err error
	}
	done := make(chan result, 1)
	go func() { // ends with the page that it is at when ctx ends
		c, err := parsePDF(ctx, data, limit)
		done <- result{c, err}
	}()
	select {
	case r := <-done:
		return r.c, r.err
	case <-ctx.Done():
		return Content{}, tooSlow()
	}
}

func tooSlow() error {
	return &Error{"pdf_too_slow", fmt.Sprintf("takes longer than %s to read. Send the pages that matter.", pdfTimeout)}
}

func parsePDF(ctx context.Context, data []byte, limit int) (c Content, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, err = Content{}, &Error{"pdf_broken", "is a PDF that cannot be read: it is damaged, or of a kind that is not known here."}
		}
	}()
	r, err := pdf.NewReader(bytes.NewReader(data), int64(len(data)))
	if errors.Is(err, pdf.ErrInvalidPassword) {
		return Content{}, &Error{"pdf_locked", "is a PDF with a password. Send it without one."}
	}
	if err != nil {
		return Content{}, &Error{"pdf_broken", "is a PDF that cannot be read: it is damaged, or of a kind that is not known here."}
	}
	c = Content{Kind: PDF, MediaType: "application/pdf", Pages: r.NumPage()}
	var b strings.Builder
	for n := 1; n <= min(c.Pages, maxPDFPages) && b.Len() <= limit; n++ {
		if ctx.Err() != nil {
			return Content{}, tooSlow()
		}
		text, perr := pageText(r, n)
		if perr != nil || strings.TrimSpace(text) == "" {
			continue // a page of pictures
		}
		fmt.Fprintf(&b, "[Page %d]\n%s\n\n", n, strings.TrimSpace(text))
	}
	c.Text, c.Truncated = shorten(strings.ToValidUTF8(strings.ReplaceAll(b.String(), "\x00", ""), "\uFFFD"), limit)
	c.Truncated = c.Truncated || c.Pages > maxPDFPages
	if strings.TrimSpace(c.Text) == "" {
		return Content{}, &Error{"pdf_without_text", "is a PDF without text, such as a scan. Send it as images, to a model that takes them."}
	}
	return c, nil
}

// pageText reads one page; a page that makes the parser panic has no text.
func pageText(r *pdf.Reader, n int) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			text, err = "", fmt.Errorf("page %d: %v", n, p)
		}
	}()
	page := r.Page(n)
	if page.V.IsNull() {
		return "", nil
	}
	return page.GetPlainText(nil)
}
