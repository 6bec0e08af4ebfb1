package extract

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/document"
)

// Bounds of reading a document for a message.
const (
	readTimeout = 20 * time.Second
	maxPages    = 2000
)

// officeTypes are the media types of Office files.
func officeTypes(kind document.Kind) string {
	const prefix = "application/vnd.openxmlformats-officedocument."
	switch kind {
	case document.DOCX:
		return prefix + "wordprocessingml.document"
	case document.PPTX:
		return prefix + "presentationml.presentation"
	case document.XLSX:
		return prefix + "spreadsheetml.sheet"
	default:
		return ""
	}
}

// readPDF gives the text of a PDF's pages.
func readPDF(ctx context.Context, p document.Parser, data []byte, limit int) (Content, error) {
	d, err := read(ctx, p, "a.pdf", data, limit)
	if e, ok := errors.AsType[*document.Error](err); ok {
		return Content{}, pdfError(e)
	}
	if err != nil {
		return Content{}, err
	}
	c := Content{Kind: PDF, MediaType: "application/pdf", Pages: d.Pages}
	c.Text, c.Truncated = shorten(pages(d), limit)
	c.Truncated = c.Truncated || d.Truncated
	return c, nil
}

// readOffice gives the text of an Office file, as text: models are told no more of it.
func readOffice(ctx context.Context, p document.Parser, kind document.Kind, data []byte, limit int) (Content, error) {
	d, err := read(ctx, p, "a."+string(kind), data, limit)
	if e, ok := errors.AsType[*document.Error](err); ok {
		return Content{}, &Error{"office_" + strings.TrimPrefix(e.Code, "document."), e.Message}
	}
	if err != nil {
		return Content{}, err
	}
	c := Content{Kind: Text, MediaType: officeTypes(kind)}
	c.Text, c.Truncated = shorten(pages(d), limit)
	c.Truncated = c.Truncated || d.Truncated
	return c, nil
}

func read(ctx context.Context, p document.Parser, name string, data []byte, limit int) (document.Document, error) {
	return p.Parse(ctx, name, data, document.Limits{MaxTextBytes: int64(limit), MaxPages: maxPages, Timeout: readTimeout, Truncate: true})
}

// pages joins blocks, and says where pages begin.
func pages(d document.Document) string {
	var b strings.Builder
	page := 0
	for i := range d.Blocks {
		block := &d.Blocks[i]
		switch {
		case block.Page != page:
			page = block.Page
			if b.Len() > 0 {
				b.WriteString("\n\n")
			}
			fmt.Fprintf(&b, "[%s %d]\n", pageName(d.Kind), page)
		case b.Len() > 0 && block.Kind == document.BlockCellRange:
			b.WriteString("\n")
		case b.Len() > 0:
			b.WriteString("\n\n")
		}
		b.WriteString(block.Text)
	}
	return b.String()
}

func pageName(kind document.Kind) string {
	switch kind {
	case document.PPTX:
		return "Slide"
	case document.XLSX:
		return "Sheet"
	default:
		return "Page"
	}
}

// pdfError says what a sender can do.
func pdfError(e *document.Error) error {
	switch e.Code {
	case document.Encrypted:
		return &Error{"pdf_locked", "is a PDF with a password. Send it without one."}
	case document.NoText:
		return &Error{"pdf_without_text", "is a PDF without text, such as a scan. Send it as images, to a model that takes them."}
	case document.TooSlow:
		return &Error{"pdf_too_slow", fmt.Sprintf("takes longer than %s to read. Send the pages that matter.", readTimeout)}
	case document.TooLargeInMemory:
		return &Error{"pdf_too_large_in_memory", "takes more memory to read than there is for a file. Send the pages that matter."}
	default:
		return &Error{"pdf_broken", e.Message}
	}
}
