package document

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/ledongthuc/pdf"
)

// parsePDF reads the text of a PDF's pages. The library reads what anybody made: it may
// panic, which is a fault of the file.
func parsePDF(ctx context.Context, f *file) (d Document, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, err = Document{}, errUnreadable("a PDF")
		}
	}()
	if err := pdfUnpacks(ctx, f.data, f.limits.unpacked()); err != nil {
		return Document{}, err
	}
	r, err := pdf.NewReader(bytes.NewReader(f.data), int64(len(f.data)))
	if errors.Is(err, pdf.ErrInvalidPassword) {
		return Document{}, &Error{Encrypted, "is a PDF with a password."}
	}
	if err != nil {
		return Document{}, errUnreadable("a PDF")
	}
	d = Document{Pages: r.NumPage()}
	if d.Pages > f.limits.MaxPages && !f.limits.Truncate {
		return Document{}, errTooLarge("pages", int64(f.limits.MaxPages))
	}
	d.Truncated = d.Pages > f.limits.MaxPages
	d.Title = pdfTitle(r)
	room := f.limits.MaxTextBytes
	unpacks := f.limits.unpacked()
	for n := 1; n <= min(d.Pages, f.limits.MaxPages); n++ {
		if err := ctx.Err(); err != nil {
			return Document{}, err
		}
		text, cut := pdfPage(ctx, r, n, room, &unpacks)
		if unpacks < 0 {
			return Document{}, errUnpacked("a PDF")
		}
		room -= int64(len(text))
		if cut {
			d.Truncated = true
			if !f.limits.Truncate {
				return Document{}, errTooLarge("bytes of text", f.limits.MaxTextBytes)
			}
		}
		d.Blocks = append(d.Blocks, paragraphs(text, n)...)
		if cut {
			break
		}
	}
	if len(d.Blocks) == 0 {
		return Document{}, errNoText("is a PDF without text, such as a scan.")
	}
	return d, nil
}

func pdfTitle(r *pdf.Reader) (title string) {
	defer func() { _ = recover() }() // a title is not worth a document
	return clean(r.Trailer().Key("Info").Key("Title").Text())
}

// clean makes text that came out of a binary format valid.
func clean(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// paragraphs makes blocks of a page's text.
func paragraphs(text string, page int) []Block {
	var tidy strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		tidy.WriteString(strings.TrimRight(line, " \t\r") + "\n")
	}
	var blocks []Block
	for part := range strings.SplitSeq(tidy.String(), "\n\n") {
		if part = strings.TrimSpace(part); part != "" {
			blocks = append(blocks, Block{Text: part, Page: page, Kind: BlockProse})
		}
	}
	return blocks
}

// pdfUnpacks refuses files whose streams unpack to more than limit, as far as that can be
// seen from outside. Pictures do not count: they are never unpacked. What a page is made of
// is measured when it is read, whatever it claims to be (pageReader.measure); this is for
// what the library reads by itself, such as the streams that objects are in.
func pdfUnpacks(ctx context.Context, data []byte, limit int64) error {
	total := int64(0)
	for at := 0; ; {
		i := bytes.Index(data[at:], []byte("stream"))
		if i < 0 {
			return nil
		}
		start := at + i
		at = start + len("stream")
		if bytes.HasSuffix(data[:start], []byte("end")) {
			continue
		}
		dict := data[max(0, start-2000):start]
		if open := bytes.LastIndex(dict, []byte(" obj")); open >= 0 {
			dict = dict[open:]
		}
		if isPicture(dict) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		filters := bytes.Count(dict, []byte("/FlateDecode")) + bytes.Count(dict, []byte("/Fl "))
		total += inflated(bytes.TrimLeft(data[at:min(len(data), at+4)], "\r\n"), data[at:], max(filters, 1), limit-total)
		if total >= limit {
			return errUnpacked("a PDF")
		}
	}
}

// isPicture tells whether what stands before a stream says that it is a picture, and nothing
// that the library would read.
func isPicture(dict []byte) bool {
	if !bytes.Contains(dict, []byte(" obj")) || !bytes.Contains(dict, []byte("/Image")) {
		return false
	}
	for _, other := range []string{"/Form", "/ObjStm", "/XRef", "/CMap", "#"} { // # hides names
		if bytes.Contains(dict, []byte(other)) {
			return false
		}
	}
	return true
}

// inflated is how much a stream unpacks to, at most limit.
func inflated(head, data []byte, filters int, limit int64) int64 {
	if len(head) == 0 || head[0]&0x0f != 8 { // not zlib's first byte
		return 0
	}
	var r io.Reader = bytes.NewReader(bytes.TrimLeft(data, "\r\n"))
	for range min(filters, 4) {
		z, err := zlib.NewReader(r)
		if err != nil {
			return 0
		}
		r = z
	}
	n, _ := io.Copy(io.Discard, io.LimitReader(r, limit)) // what is broken ends there
	return n
}
