// Package extract reads what people attach to messages: what a file is, and the text
// in it. It must not know where files are kept or who reads the text.
//
// Files are what anybody sent: what a file is goes by its bytes, not by its name, and
// reading one is bounded in time, memory and output.
package extract

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/document"
)

// The kinds of files.
const (
	Text  = "text"
	PDF   = "pdf"
	Image = "image"
)

// Error is a file that cannot be used; Message goes on after its name.
type Error struct{ Reason, Message string }

// Error gives reason and message.
func (e *Error) Error() string { return e.Reason + ": " + e.Message }

// Content is what was found in a file.
type Content struct {
	Kind      string
	MediaType string
	Text      string // of text and pdf
	Pages     int    // of pdf
	Truncated bool   // the text goes on
}

// maxImage bounds pictures: providers refuse larger ones.
const maxImage = 5 << 20

// Read tells what a file is and gives at most limit bytes of its text; documents are read
// by p. Errors: *Error; the cause of ctx when that ended.
func Read(ctx context.Context, p document.Parser, name string, data []byte, limit int) (Content, error) {
	if len(data) == 0 {
		return Content{}, &Error{"empty", "is empty."}
	}
	switch media, _, _ := strings.Cut(http.DetectContentType(data), ";"); media {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		if len(data) > maxImage {
			return Content{}, &Error{"image_too_large", "is an image of more than 5 MiB. Make it smaller."}
		}
		return Content{Kind: Image, MediaType: media}, nil
	case "application/pdf":
		return readPDF(ctx, p, data, limit)
	}
	if kind, _, ok := document.Detect(name, data); ok && officeTypes(kind) != "" {
		return readOffice(ctx, p, kind, data, limit)
	}
	return readText(name, data, limit)
}

func readText(name string, data []byte, limit int) (Content, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return Content{}, &Error{"unsupported", "is neither text in UTF-8, nor a PDF, nor an Office file (DOCX, PPTX, XLSX), nor an image (PNG, JPEG, GIF, WebP)."}
	}
	c := Content{Kind: Text, MediaType: "text/plain", Text: string(data)}
	if strings.HasSuffix(strings.ToLower(name), ".md") {
		c.MediaType = "text/markdown"
	}
	c.Text, c.Truncated = shorten(c.Text, limit)
	if strings.TrimSpace(c.Text) == "" {
		return Content{}, &Error{"empty", "holds nothing but white space."}
	}
	return c, nil
}

// shorten cuts between characters.
func shorten(s string, limit int) (string, bool) {
	if len(s) <= limit {
		return s, false
	}
	return strings.ToValidUTF8(s[:limit], ""), true
}
