package extract_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/chat/extract"
	"github.com/llmctl/studio/internal/document"
)

// pdfOf makes a small PDF with a line of text on each page.
func pdfOf(pages ...string) []byte {
	var b bytes.Buffer
	var offsets []int
	object := func(body string) {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(offsets), body)
	}
	b.WriteString("%PDF-1.4\n")
	kids := make([]string, len(pages))
	for i := range pages {
		kids[i] = fmt.Sprintf("%d 0 R", 4+2*i)
	}
	object("<< /Type /Catalog /Pages 2 0 R >>")
	object(fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", strings.Join(kids, " "), len(pages)))
	object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	for i, text := range pages {
		stream := fmt.Sprintf("BT /F1 12 Tf 72 700 Td (%s) Tj ET", text)
		object(fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>", 5+2*i))
		object(fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(stream), stream))
	}
	at := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, at)
	return b.Bytes()
}

func TestTextOfAPDFIsReadPageByPage(t *testing.T) {
	t.Parallel()
	c, err := extract.Read(t.Context(), document.InProcess{}, "x", pdfOf("the code word is PLUM", "second page"), 1<<20)
	require.NoError(t, err)
	require.Equal(t, extract.PDF, c.Kind)
	require.Equal(t, 2, c.Pages)
	require.Contains(t, c.Text, "[Page 1]\nthe code word is PLUM")
	require.Contains(t, c.Text, "[Page 2]\nsecond page")
	c, err = extract.Read(t.Context(), document.InProcess{}, "x", pdfOf("the code word is PLUM", "second page"), 12)
	require.NoError(t, err)
	require.True(t, c.Truncated)
	require.Len(t, c.Text, 12)
}

func reasonOf(t *testing.T, name string, data []byte) string {
	t.Helper()
	_, err := extract.Read(t.Context(), document.InProcess{}, name, data, 1<<20)
	e, ok := errors.AsType[*extract.Error](err)
	require.True(t, ok, "%v", err)
	return e.Reason
}

func TestWhatCannotBeReadIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	whole := pdfOf("text")
	require.Equal(t, "empty", reasonOf(t, "a", nil))
	require.Equal(t, "empty", reasonOf(t, "a", []byte(" \n")))
	require.Equal(t, "unsupported", reasonOf(t, "a.txt", []byte("PK\x03\x04\x00\x00binary")))
	require.Equal(t, "pdf_broken", reasonOf(t, "a.pdf", whole[:len(whole)/2]))
	require.Equal(t, "pdf_without_text", reasonOf(t, "a.pdf", pdfOf("")))
	require.Equal(t, "image_too_large", reasonOf(t, "a.png", append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 6<<20)...)))
}

func TestTextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	c, err := extract.Read(t.Context(), document.InProcess{}, "a.md", []byte("\xef\xbb\xbfaßb"), 2)
	require.NoError(t, err)
	require.Equal(t, "a", c.Text)
	require.True(t, c.Truncated)
	require.Equal(t, "text/markdown", c.MediaType)
}

// FuzzRead holds that no file takes the process down.
func FuzzRead(f *testing.F) {
	f.Add(pdfOf("a", "b"))
	f.Add([]byte("%PDF-1.7\n"))
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c, err := extract.Read(ctx, document.InProcess{}, "f", data, 1000)
		if err == nil && len(c.Text) > 1000 {
			t.Fatal("too long")
		}
	})
}

func TestOfficeFilesAreReadAsText(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("word/document.xml")
	require.NoError(t, err)
	_, err = w.Write([]byte(`<w:document><w:body><w:p><w:r><w:t>the code word is FIG</w:t></w:r></w:p><w:p><w:r><w:t>more</w:t></w:r></w:p></w:body></w:document>`))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	c, err := extract.Read(t.Context(), document.InProcess{}, "a.docx", b.Bytes(), 1<<20)
	require.NoError(t, err)
	require.Equal(t, extract.Text, c.Kind)
	require.Equal(t, "application/vnd.openxmlformats-officedocument.wordprocessingml.document", c.MediaType)
	require.Equal(t, "the code word is FIG\n\nmore", c.Text)
	c, err = extract.Read(t.Context(), document.InProcess{}, "a.docx", b.Bytes(), 8)
	require.NoError(t, err)
	require.Equal(t, "the code", c.Text)
	require.True(t, c.Truncated)
	require.Equal(t, "office_unreadable", reasonOf(t, "a.docx", b.Bytes()[:50]))
}
