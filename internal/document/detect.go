package document

import (
	"bytes"
	"path"
	"strings"
	"unicode/utf8"
)

// sniffed is how much of a file is looked at to tell text from binary data.
const sniffed = 8 << 10

// Detect says what a file is from its path and its first bytes, a few kilobytes of them.
// ok is false for what no parser reads: images, archives, executables.
func Detect(name string, head []byte) (kind Kind, language string, ok bool) {
	base := strings.ToLower(path.Base(strings.ReplaceAll(name, `\`, "/")))
	ext := strings.TrimPrefix(path.Ext(base), ".")
	head = head[:min(len(head), sniffed)]
	switch {
	case bytes.HasPrefix(head, []byte("%PDF-")):
		return PDF, "", true
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		kind, ok = detectOffice(ext, head)
		return kind, "", ok
	case bytes.HasPrefix(head, oleMagic): // an Office file with a password, or one of before 2007
		switch ext {
		case "docx", "pptx", "xlsx":
			return Kind(ext), "", true
		}
		return "", "", false
	case isOneOf(ext, "docx pptx xlsx pdf svg") || !isText(head):
		return "", "", false
	}
	if kind, language, ok := byName(base, ext); ok {
		return kind, language, true
	}
	return byContent(head)
}

// oleMagic begins OLE containers.
var oleMagic = []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") //nolint:gochecknoglobals // a constant

func detectOffice(ext string, head []byte) (Kind, bool) {
	switch ext {
	case "docx", "docm", "dotx":
		return DOCX, true
	case "pptx", "pptm", "ppsx":
		return PPTX, true
	case "xlsx", "xlsm", "xltx":
		return XLSX, true
	}
	if !bytes.Contains(head, []byte("[Content_Types].xml")) {
		return "", false
	}
	switch { // a name that says nothing, or another thing
	case bytes.Contains(head, []byte("word/")):
		return DOCX, true
	case bytes.Contains(head, []byte("ppt/")):
		return PPTX, true
	case bytes.Contains(head, []byte("xl/")):
		return XLSX, true
	}
	return "", false
}

func byName(base, ext string) (Kind, string, bool) {
	if language, ok := fileNames()[base]; ok {
		return kindOf(language), language, true
	}
	if strings.HasPrefix(base, "dockerfile.") || strings.HasPrefix(base, "makefile.") {
		language, _, _ := strings.Cut(base, ".")
		return Code, language, true
	}
	switch ext {
	case "md", "markdown", "mdx", "mkd":
		return Markdown, "", true
	case "html", "htm", "xhtml":
		return HTML, "", true
	case "txt", "text", "rst", "rest", "adoc", "asciidoc", "org", "tex", "log":
		return Text, "", true
	}
	language, ok := extensions()[ext]
	return kindOf(language), language, ok
}

// byContent is for names that say nothing.
func byContent(head []byte) (Kind, string, bool) {
	start := bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))
	line, _, _ := bytes.Cut(start, []byte("\n"))
	lower := bytes.ToLower(start[:min(len(start), 64)])
	switch {
	case bytes.HasPrefix(line, []byte("#!")):
		return Code, interpreter(string(line)), true
	case bytes.HasPrefix(lower, []byte("<!doctype html")), bytes.HasPrefix(lower, []byte("<html")):
		return HTML, "", true
	case bytes.HasPrefix(lower, []byte("<?xml")):
		return Config, "xml", true
	}
	return Text, "", true
}

// interpreter is the language of a script by its first line.
func interpreter(line string) string {
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '/' || r == '\t' }) {
		word = strings.TrimRight(word, "0123456789.\r")
		switch word {
		case "python", "ruby", "perl", "lua":
			return word
		case "node", "deno", "bun":
			return "javascript"
		case "sh", "bash", "zsh", "dash", "ksh", "ash":
			return "shell"
		}
	}
	return ""
}

// isText tells text from binary data: no zeros, unless it is UTF-16, and few control characters.
func isText(head []byte) bool {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) || guessUTF16(head) != nil {
		return true
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	control, broken := 0, 0
	for i := 0; i < len(head); {
		r, size := utf8.DecodeRune(head[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			broken++
		case r < 0x20 && r != '\n' && r != '\r' && r != '\t' && r != '\f' && r != 0x1b:
			control++
		}
		i += size
	}
	return control*50 <= len(head) && broken*3 <= len(head)
}

func isOneOf(word, words string) bool {
	return word != "" && strings.Contains(" "+words+" ", " "+word+" ")
}
