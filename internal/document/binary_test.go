package document_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"

	"github.com/llmctl/studio/internal/document"
)

// pdfOf makes a PDF of pages with these contents.
func pdfOf(compress bool, pages ...string) []byte { return pdfClaiming("", compress, pages...) }

// pdfClaiming makes a PDF whose contents say more about themselves.
func pdfClaiming(claim string, compress bool, pages ...string) []byte {
	var b bytes.Buffer
	var offsets []int
	object := func(body string) {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(offsets), body)
	}
	b.WriteString("%PDF-1.4\n")
	kids := make([]string, len(pages))
	for i := range pages {
		kids[i] = fmt.Sprintf("%d 0 R", 5+2*i)
	}
	object("<< /Type /Catalog /Pages 2 0 R >>")
	object(fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", strings.Join(kids, " "), len(pages)))
	object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	object("<< /Title (A title) >>")
	for i, content := range pages {
		object(fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>", 6+2*i))
		filter := ""
		if compress {
			var z bytes.Buffer
			w, _ := zlib.NewWriterLevel(&z, zlib.BestSpeed)
			_, _ = w.Write([]byte(content))
			_ = w.Close()
			content, filter = z.String(), " /Filter /FlateDecode"
		}
		object(fmt.Sprintf("<< /Length %d %s%s >>\nstream\n%s\nendstream", len(content), claim, filter, content))
	}
	at := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, at)
	return b.Bytes()
}

func TestPDFsAreReadByPagesLinesAndWords(t *testing.T) {
	t.Parallel()
	data := pdfOf(true,
		"BT /F1 12 Tf 72 700 Td (one) Tj 0 -14 Td [(t) 10 (wo) -300 (three)] TJ 0 -40 Td (four) Tj 60 0 Td (five) Tj ET",
		"q 0.5 0 0 0.5 0 0 cm BT /F1 24 Tf 1 0 0 1 100 1400 Tm (up) Tj ET Q q 0.5 0 0 0.5 0 -14 cm BT /F1 24 Tf 1 0 0 1 100 1400 Tm (down) Tj ET Q")
	d, err := document.Parse(t.Context(), "a.pdf", data, document.Limits{})
	require.NoError(t, err)
	require.Equal(t, document.Document{Kind: document.PDF, Title: "A title", Pages: 2, Blocks: []document.Block{
		{Text: "one\ntwo three", Page: 1, Kind: "prose"}, {Text: "four five", Page: 1, Kind: "prose"}, {Text: "up\ndown", Page: 2, Kind: "prose"},
	}}, d)
	_, err = document.Parse(t.Context(), "a.pdf", data, document.Limits{MaxPages: 1})
	require.ErrorContains(t, err, "too_large: has more than 1 pages")
	d, err = document.Parse(t.Context(), "a.pdf", data, document.Limits{MaxPages: 1, Truncate: true})
	require.NoError(t, err)
	require.True(t, d.Truncated)
	require.Len(t, d.Blocks, 2)
	d, err = document.Parse(t.Context(), "a.pdf", data, document.Limits{MaxTextBytes: 5, Truncate: true})
	require.NoError(t, err)
	require.Equal(t, "one\nt", d.Blocks[0].Text)
}

func TestARealPDFIsRead(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(moduleCache(), "github.com/ledongthuc/pdf@v0.0.0-20260907135840-6c8c28e0e8a0/examples/read_plain_text/pdf_test.pdf"))
	require.NoError(t, err)
	d, err := document.Parse(t.Context(), "a.pdf", data, document.Limits{})
	require.NoError(t, err)
	require.Contains(t, texts(d), "This is content is very long and it will break by the page width limit, so you will see it breaks\nby for reason.")
}

func TestPDFsThatCannotBeReadAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	whole := pdfOf(false, "BT /F1 12 Tf (x) Tj ET")
	require.Equal(t, document.Unreadable, codeOf(t, "a.pdf", whole[:len(whole)/2], document.Limits{}))
	require.Equal(t, document.NoText, codeOf(t, "a.pdf", pdfOf(false, "0 0 m"), document.Limits{}))
	require.Equal(t, document.TooLarge, codeOf(t, "a.pdf", pdfOf(false, strings.Repeat("BT (some words) Tj ET ", 100)), document.Limits{MaxTextBytes: 100}))
	bomb := pdfOf(true, strings.Repeat("1 ", 17<<19))
	require.Less(t, len(bomb), 1<<20)
	require.Equal(t, document.TooLarge, codeOf(t, "a.pdf", bomb, document.Limits{MaxTextBytes: 1 << 20}))
}

// zipped makes an archive of names and contents, in turn.
func zipped(t *testing.T, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	for i := 0; i < len(parts); i += 2 {
		w, err := z.Create(parts[i])
		require.NoError(t, err)
		_, err = w.Write([]byte(parts[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

func docx(t *testing.T) []byte {
	t.Helper()
	p := func(style, text string) string {
		return `<w:p><w:pPr>` + style + `</w:pPr><w:r><w:t>` + text + `</w:t></w:r></w:p>`
	}
	return zipped(t, "[Content_Types].xml", "<Types/>", "docProps/core.xml", `<cp:coreProperties xmlns:dc="x"><dc:title>Its title</dc:title></cp:coreProperties>`,
		"word/styles.xml", `<w:styles><w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style></w:styles>`,
		"word/document.xml", `<w:document><w:body>`+p(`<w:pStyle w:val="Heading1"/>`, "One")+p("", "Text &amp; more")+p(`<w:pStyle w:val="berschrift2"/>`, "Two")+
			p(`<w:numPr/>`, "a")+p(`<w:numPr/>`, "b")+`<w:tbl><w:tr><w:tc>`+p("", "h")+`</w:tc><w:tc>`+p("", "i")+p("", "j")+`</w:tc></w:tr><w:tr><w:tc>`+p("", "1")+`</w:tc><w:tc/></w:tr></w:tbl>`+
			`<w:p><w:r><w:delText>gone</w:delText><mc:Fallback><w:t>twice</w:t></mc:Fallback><w:t>last</w:t></w:r></w:p></w:body></w:document>`,
		"word/footnotes.xml", `<w:footnotes>`+p("", "a note")+`</w:footnotes>`)
}

func TestDOCXIsReadByHeadings(t *testing.T) {
	t.Parallel()
	d, err := document.Parse(t.Context(), "a.docx", docx(t), document.Limits{})
	require.NoError(t, err)
	two := []string{"One", "Two"}
	require.Equal(t, document.Document{Kind: document.DOCX, Title: "Its title", Blocks: []document.Block{
		{Text: "One", Heading: []string{"One"}, Kind: "heading"},
		{Text: "Text & more", Heading: []string{"One"}, Kind: "prose"},
		{Text: "Two", Heading: two, Kind: "heading"},
		{Text: "- a\n- b", Heading: two, Kind: "list"},
		{Text: "h | i j\n1 |", Heading: two, Kind: "table"},
		{Text: "last", Heading: two, Kind: "prose"},
		{Text: "a note", Kind: "prose"},
	}}, d)
}

func pptx(t *testing.T) []byte {
	t.Helper()
	shape := func(holder, text string) string {
		return `<p:sp><p:nvPr>` + holder + `</p:nvPr><p:txBody><a:p><a:r><a:t>` + text + `</a:t></a:r></a:p></p:txBody></p:sp>`
	}
	return zipped(t, "ppt/presentation.xml", `<p:presentation xmlns:r="http://r"><p:sldId id="256" r:id="rId2"/><p:sldId id="257" r:id="rId1"/></p:presentation>`,
		"ppt/_rels/presentation.xml.rels", `<Relationships><Relationship Id="rId1" Type="http://x/slide" Target="slides/slide1.xml"/><Relationship Id="rId2" Type="http://x/slide" Target="/ppt/slides/slide2.xml"/></Relationships>`,
		"ppt/slides/slide1.xml", `<p:sld>`+shape(`<p:ph type="title"/>`, "Second")+shape(`<p:ph idx="1"/>`, "body")+shape(`<p:ph type="sldNum"/>`, "2")+`</p:sld>`,
		"ppt/slides/_rels/slide1.xml.rels", `<Relationships><Relationship Id="n" Type="http://x/notesSlide" Target="../notesSlides/notesSlide1.xml"/></Relationships>`,
		"ppt/notesSlides/notesSlide1.xml", `<p:notes>`+shape(`<p:ph type="sldImg"/>`, "")+shape(`<p:ph type="body"/>`, "say this")+`</p:notes>`,
		"ppt/slides/slide2.xml", `<p:sld>`+shape("", "first")+`<a:tbl><a:tr><a:tc><a:p><a:t>x</a:t></a:p></a:tc><a:tc><a:p><a:t>y</a:t></a:p></a:tc></a:tr><a:tr><a:tc><a:p><a:t>1</a:t></a:p></a:tc></a:tr></a:tbl></p:sld>`)
}

func TestPPTXIsReadBySlidesInOrder(t *testing.T) {
	t.Parallel()
	d, err := document.Parse(t.Context(), "a.pptx", pptx(t), document.Limits{})
	require.NoError(t, err)
	require.Equal(t, document.Document{Kind: document.PPTX, Title: "Second", Pages: 2, Blocks: []document.Block{
		{Text: "first", Page: 1, Heading: []string{"Slide 1"}, Kind: "prose"},
		{Text: "x | y\n1", Page: 1, Heading: []string{"Slide 1"}, Kind: "table"},
		{Text: "Second", Page: 2, Heading: []string{"Second"}, Kind: "heading"},
		{Text: "body", Page: 2, Heading: []string{"Second"}, Kind: "prose"},
		{Text: "say this", Page: 2, Heading: []string{"Second"}, Kind: "prose"},
	}}, d)
}

func xlsx(t *testing.T) []byte {
	t.Helper()
	f := excelize.NewFile()
	day, err := f.NewStyle(&excelize.Style{NumFmt: 14})
	require.NoError(t, err)
	require.NoError(t, f.SetSheetRow("Sheet1", "A1", &[]any{"id", "day", "share"}))
	require.NoError(t, f.SetSheetRow("Sheet1", "A3", &[]any{1, time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), 0.5, nil}))
	require.NoError(t, f.SetCellStyle("Sheet1", "B3", "B3", day))
	_, err = f.NewSheet("Other")
	require.NoError(t, err)
	require.NoError(t, f.SetCellValue("Other", "B2", "x\ny"))
	var b bytes.Buffer
	require.NoError(t, f.Write(&b))
	return b.Bytes()
}

func TestXLSXIsReadByRowsAsTheyAreShown(t *testing.T) {
	t.Parallel()
	d, err := document.Parse(t.Context(), "a.xlsx", xlsx(t), document.Limits{})
	require.NoError(t, err)
	require.Equal(t, document.Document{Kind: document.XLSX, Pages: 2, Blocks: []document.Block{
		{Text: "id | day | share", Page: 1, Heading: []string{"Sheet1"}, Kind: "cell_range"},
		{Text: "1 | 01-31-26 | 0.5", Page: 1, Heading: []string{"Sheet1", "id | day | share"}, Kind: "cell_range"},
		{Text: "| x y", Page: 2, Heading: []string{"Other"}, Kind: "cell_range"},
	}}, d)
}

func TestOfficeFilesThatCannotBeReadAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	ole := "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + strings.Repeat("\x00", 600)
	locked := ole + "E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e\x00"
	for _, ext := range []string{"docx", "pptx", "xlsx"} {
		require.Equal(t, document.Encrypted, codeOf(t, "a."+ext, []byte(locked), document.Limits{}))
		require.Equal(t, document.Unsupported, codeOf(t, "a."+ext, []byte(ole), document.Limits{}))
		require.Equal(t, document.Unreadable, codeOf(t, "a."+ext, []byte("PK\x03\x04broken"), document.Limits{}))
		require.Equal(t, document.Unreadable, codeOf(t, "a."+ext, zipped(t, "x", "y"), document.Limits{}))
	}
	bomb := "<w:document><w:p><w:t>" + strings.Repeat("a", 17<<20)
	for ext, part := range map[string]string{"docx": "word/document.xml", "pptx": "ppt/presentation.xml", "xlsx": "xl/worksheets/sheet1.xml"} {
		data := zipped(t, "[Content_Types].xml", "<Types/>", part, bomb)
		require.Less(t, len(data), 1<<20)
		require.Equal(t, document.TooLarge, codeOf(t, "a."+ext, data, document.Limits{MaxTextBytes: 1 << 20}), ext)
	}
	require.Equal(t, document.TooLarge, codeOf(t, "a.docx", docx(t), document.Limits{MaxTextBytes: 10}))
	require.Equal(t, document.TooLarge, codeOf(t, "a.pptx", pptx(t), document.Limits{MaxPages: 1}))
	d, err := document.Parse(t.Context(), "a.xlsx", xlsx(t), document.Limits{MaxPages: 1, Truncate: true})
	require.NoError(t, err)
	require.True(t, d.Truncated)
}

// zippedTwice makes an archive in which a part is there several times.
func zippedTwice(t *testing.T, times int, name, content string, others ...string) []byte {
	t.Helper()
	parts := slices.Clone(others)
	for range times {
		parts = append(parts, name, content)
	}
	return zipped(t, parts...)
}

func TestPartsOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	piece := strings.Repeat("a", 100<<10)
	for ext, part := range map[string]string{"docx": "word/document.xml", "pptx": "ppt/presentation.xml", "xlsx": "xl/worksheets/sheet1.xml"} {
		data := zippedTwice(t, 8, part, piece, "[Content_Types].xml", "<Types/>")
		_, err := document.Parse(t.Context(), "a."+ext, data, document.Limits{MaxTextBytes: 1 << 20})
		require.ErrorContains(t, err, "the same name", ext)
	}
	data := zippedTwice(t, 1, "WORD/document.xml", piece, "word/document.xml", "x")
	_, err := document.Parse(t.Context(), "a.docx", data, document.Limits{})
	require.ErrorContains(t, err, "the same name", "names in Office files have no case")
}

func TestStreamsThatAreReadAreMeasuredWhateverTheyClaimToBe(t *testing.T) {
	t.Parallel()
	bomb := pdfClaiming("/Subtype /Image /Width 1", true, strings.Repeat("1 ", 17<<19))
	require.Equal(t, document.TooLarge, codeOf(t, "a.pdf", bomb, document.Limits{MaxTextBytes: 1 << 20}))
	_, err := document.Parse(t.Context(), "a.pdf", pdfClaiming("/Subtype /Image", true, "BT /F1 12 Tf (x) Tj ET"), document.Limits{})
	require.NoError(t, err)
}

func TestPicturesThatNobodyReadsAreNotMeasured(t *testing.T) {
	t.Parallel()
	picture := pdfOf(true, strings.Repeat("\x00", 17<<20))
	start := bytes.Index(picture, []byte("stream\n")) + len("stream\n")
	pixels := picture[start : start+bytes.Index(picture[start:], []byte("\nendstream"))]
	data := append(pdfOf(true, "BT /F1 12 Tf (x) Tj ET"),
		fmt.Sprintf("\n9 0 obj\n<< /Type /XObject /Subtype /Image /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream\nendobj\n", len(pixels), pixels)...)
	at := bytes.LastIndex(data, []byte("xref\n0"))
	data = append(data, fmt.Sprintf("startxref\n%d\n%%%%EOF\n", at)...)
	d, err := document.Parse(t.Context(), "a.pdf", data, document.Limits{MaxTextBytes: 1 << 20})
	require.NoError(t, err)
	require.Equal(t, "x", d.Blocks[0].Text)
}

func TestDocumentsHaveABoundedNumberOfBlocks(t *testing.T) {
	t.Parallel()
	many := document.Document{Blocks: make([]document.Block, document.MaxBlocks+1)}
	_, err := document.Bounded(many, document.Limits{})
	require.ErrorContains(t, err, document.TooLarge)
	d, err := document.Bounded(many, document.Limits{Truncate: true})
	require.NoError(t, err)
	require.True(t, d.Truncated)
	require.Len(t, d.Blocks, document.MaxBlocks)
}

func TestElementsThatAreNeverClosedTakeLinearTime(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("<nav>", 100_000) + strings.Repeat("</a>", 100_000) + "<p>text"
	_, err := document.Parse(t.Context(), "a.html", []byte(page), document.Limits{Timeout: 10 * time.Second})
	require.ErrorContains(t, err, document.NoText)
}

func TestEndOfTheCallerIsNotTheFilesError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("the run is over")
	cancel(over)
	_, err := document.Parse(ctx, "a.pdf", pdfOf(true, "BT (x) Tj ET"), document.Limits{})
	require.ErrorIs(t, err, over)
}
