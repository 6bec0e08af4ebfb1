package document

import (
	"bytes"
	"context"
	"strings"

	"github.com/xuri/excelize/v2"
)

// parseXLSX makes a block of each row of each sheet, as its cells are shown. The first
// row names the columns.
func parseXLSX(ctx context.Context, f *file) (Document, error) {
	if bytes.HasPrefix(f.data, oleMagic) {
		return Document{}, oldOffice(f.data)
	}
	if err := unpacksWithin(ctx, f); err != nil {
		return Document{}, err
	}
	room := f.limits.unpacked()
	// All in memory: what is larger would be put into files.
	book, err := excelize.OpenReader(bytes.NewReader(f.data), excelize.Options{UnzipSizeLimit: room, UnzipXMLSizeLimit: room})
	if err != nil {
		return Document{}, errUnreadable("an XLSX file")
	}
	defer func() { _ = book.Close() }() // it has no files
	out := collector{limits: f.limits}
	sheets := book.GetSheetList()
	if len(sheets) > f.limits.MaxPages {
		if !f.limits.Truncate {
			return Document{}, errTooLarge("sheets", int64(f.limits.MaxPages))
		}
		out.truncated = true
	}
	for n, sheet := range sheets[:min(len(sheets), f.limits.MaxPages)] {
		if err := readSheet(ctx, book, sheet, n+1, &out); err != nil {
			return Document{}, err
		}
	}
	title := ""
	if p, err := book.GetDocProps(); err == nil && p != nil {
		title = clean(p.Title)
	}
	return out.document(title, len(sheets), "XLSX")
}

// unpacksWithin holds the parts of a file to the limit by what they unpack to, whatever
// they announce.
func unpacksWithin(ctx context.Context, f *file) error {
	o, err := openOffice(f, "XLSX")
	if err != nil {
		return err
	}
	for name := range o.parts {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := o.measure(name); err != nil {
			return err
		}
	}
	return nil
}

func readSheet(ctx context.Context, book *excelize.File, sheet string, page int, out *collector) error {
	rows, err := book.Rows(sheet)
	if err != nil {
		return nil // a sheet of charts has no rows
	}
	defer func() { _ = rows.Close() }() // it has no files
	heading := []string{clean(sheet)}
	first := true
	for rows.Next() && !out.full {
		if err := ctx.Err(); err != nil {
			return err
		}
		cells, err := rows.Columns()
		if err != nil {
			return errUnreadable("an XLSX file")
		}
		text := rowText(cells)
		if text == "" {
			continue
		}
		out.add(Block{Text: text, Page: page, Heading: heading, Kind: BlockCellRange})
		if first {
			first, heading = false, under(heading, oneLine(clean(text), maxName))
		}
	}
	return nil
}

func rowText(cells []string) string {
	for len(cells) > 0 && strings.TrimSpace(cells[len(cells)-1]) == "" {
		cells = cells[:len(cells)-1]
	}
	for i, c := range cells {
		cells[i] = strings.Join(strings.Fields(c), " ")
	}
	return strings.Join(cells, " | ")
}
