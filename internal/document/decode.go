package document

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/charmap"
)

// decode gives the text of a file: valid UTF-8 without NUL, lines ending in "\n".
func decode(data []byte, html bool) string {
	text := toUTF8(data, html)
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", " ")
	}
	if strings.IndexByte(text, '\r') >= 0 {
		text = strings.ReplaceAll(text, "\r\n", "\n")
		if strings.IndexByte(text, '\n') >= 0 {
			text = strings.ReplaceAll(text, "\r", " ") // editors count no line there
		} else {
			text = strings.ReplaceAll(text, "\r", "\n") // of the time when that was the end of a line
		}
	}
	return text
}

func toUTF8(data []byte, html bool) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return strings.ToValidUTF8(string(data[3:]), "\uFFFD")
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		return fromUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		return fromUTF16(data[2:], binary.BigEndian)
	case utf8.Valid(data) && bytes.IndexByte(data, 0) < 0:
		return string(data)
	}
	if order := guessUTF16(data); order != nil {
		return fromUTF16(data, order)
	}
	if html {
		if e, name, _ := charset.DetermineEncoding(data, ""); name != "utf-8" {
			if out, err := e.NewDecoder().Bytes(data); err == nil {
				return strings.ToValidUTF8(string(out), "\uFFFD")
			}
		}
	}
	if mostlyUTF8(data) {
		return strings.ToValidUTF8(string(data), "\uFFFD")
	}
	out, err := charmap.Windows1252.NewDecoder().Bytes(data) // Latin-1 and more
	if err != nil {
		return strings.ToValidUTF8(string(data), "\uFFFD")
	}
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

func fromUTF16(data []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return strings.ToValidUTF8(string(utf16.Decode(units)), "\uFFFD")
}

// guessUTF16 knows UTF-16 without a mark by its zeros, which stand in every second place.
func guessUTF16(data []byte) binary.ByteOrder {
	head := data[:min(len(data), 1024)&^1]
	var zeros [2]int
	for i, c := range head {
		if c == 0 {
			zeros[i%2]++
		}
	}
	half := len(head) / 2
	switch {
	case half < 4:
		return nil
	case zeros[1]*10 > half*7 && zeros[0]*20 < half:
		return binary.LittleEndian
	case zeros[0]*10 > half*7 && zeros[1]*20 < half:
		return binary.BigEndian
	}
	return nil
}

// mostlyUTF8 tells damaged UTF-8 from other encodings.
func mostlyUTF8(data []byte) bool {
	good, bad := 0, 0
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			bad++
		case size > 1:
			good++
		}
		data = data[size:]
	}
	return good > bad
}
