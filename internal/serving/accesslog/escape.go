package accesslog

import (
	"unicode"
	"unicode/utf8"
)

const (
	hexDigits = "0123456789abcdef"
	cutMark   = "…"
	// fieldLimit is the most bytes that one value brings into a line; when a line
	// is too long nevertheless, its values are cut to shortLimit.
	fieldLimit = 1024
	shortLimit = 128
)

// cut shortens s to limit bytes without breaking a character.
func cut(s string, limit int) (string, bool) {
	if len(s) <= limit {
		return s, false
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit], true
}

// appendText appends a value to a line of text. As with Gunicorn a quote becomes
// \"; a backslash is doubled and what is no printable character becomes \xHH, so
// that a value can neither end its quotes nor the line.
func appendText(dst []byte, s string, limit int) []byte {
	s, long := cut(s, limit)
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
			continue
		case c >= ' ' && c < 0x7f:
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size <= 1 || !unicode.IsPrint(r) {
			for _, b := range []byte(s[i : i+size]) {
				dst = append(dst, '\\', 'x', hexDigits[b>>4], hexDigits[b&15])
			}
		} else {
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	if long {
		dst = append(dst, cutMark...)
	}
	return dst
}

// appendJSON appends a value as a JSON string.
func appendJSON(dst []byte, s string, limit int) []byte {
	s, long := cut(s, limit)
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
			continue
		case c >= ' ' && c < 0x7f:
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size <= 1:
			dst = append(dst, `\ufffd`...)
		case r < 0x10000 && !unicode.IsPrint(r):
			dst = append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		default:
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	if long {
		dst = append(dst, cutMark...)
	}
	return append(dst, '"')
}
