package document_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/document"
)

// names make every parser of text reachable.
func names() []string {
	return strings.Fields("a.go a.py a.js a.tsx a.java a.rs a.c a.cpp a.rb a.sh a.sql a.kt a.swift a.cs a.php a.css a.tf a.lua a.ex a.md a.html a.json a.yaml a.toml a.csv a.xml a.txt a.rst a.org a.hs")
}

// FuzzParseText holds the invariants of formats that are text.
func FuzzParseText(f *testing.F) {
	for _, seed := range []struct{ name, text string }{
		{"a.go", "package a\n\nfunc A() {\n}\n"},
		{"a.py", "class A:\n    def b(self):\n        '''x'''\n"},
		{"a.js", "class A { b() { return `${`x`}` } }"},
		{"a.tsx", "const A = ({ b }) => {\n  return <p>Don't {b}</p>\n}\n"},
		{"a.rs", "fn a<'b>() { 'c' }\n#[x]\nmod d { }"},
		{"a.c", "#if X\nint f() {\n#endif\n}"},
		{"a.cpp", "R\"x(})x\"; class A { operator()() { } };"},
		{"a.rb", "def a\n <<~X\n X\nend\n"},
		{"a.sh", "f() {\n}\n"},
		{"a.sql", "create table a (b);\n$$ ; $$;"},
		{"a.java", "@A(\"b\") class C { /* } */ void d() { } }"},
		{"a.md", "# a\n\n|b|c|\n|-|-|\n|d|e|\n\n```\nf\n```\n"},
		{"a.md", "---\ntitle: a\n---\n[b]: c\n"},
		{"a.html", "<main><h1>a</h1><p>b<table><tr><td>c</table><pre>\nd</pre>"},
		{"a.json", "{\"a\": [1,\n{\"b\": 2}]}"},
		{"a.json", "[{\"a\":\n"},
		{"a.yaml", "a:\n  - b: |\n      c\n---\nd: e\n"},
		{"a.toml", "[a]\nb = 1\n"},
		{"a.csv", "a,\"b\nc\"\n1,2\n"},
		{"a.rst", "Title\n=====\n\ntext\r\n"},
		{"a.txt", "\xff\xfea\x00\n\x00"},
	} {
		f.Add(uint8(slices.Index(names(), seed.name)), []byte(seed.text))
	}
	f.Fuzz(func(t *testing.T, n uint8, data []byte) {
		name := names()[int(n)%len(names())]
		l := document.Limits{MaxTextBytes: 1 << 20, Timeout: 5 * time.Second}
		d, err := document.Parse(t.Context(), name, data, l)
		if err != nil {
			e, ok := errors.AsType[*document.Error](err)
			require.True(t, ok && (e.Code == document.NoText || e.Code == document.Unsupported || e.Code == document.TooLarge), "%v", err)
			return
		}
		again, err := document.Parse(t.Context(), name, data, l)
		require.NoError(t, err)
		require.Equal(t, d, again)
		next := 1
		for _, b := range d.Blocks {
			require.True(t, utf8.ValidString(b.Text) && !strings.Contains(b.Text, "\x00"))
			require.NotEmpty(t, strings.TrimSpace(b.Text))
			require.Positive(t, b.LineStart)
			require.LessOrEqual(t, b.LineStart, b.LineEnd)
			for _, h := range b.Heading {
				require.True(t, utf8.ValidString(h) && len(h) <= 200, "%q", h)
			}
			if d.Kind != document.HTML {
				require.GreaterOrEqual(t, b.LineStart, next)
				require.Equal(t, b.LineEnd-b.LineStart, strings.Count(b.Text, "\n"))
				next = b.LineEnd + 1
			}
		}
		if utf8.Valid(data) && d.Kind != document.HTML && !strings.ContainsAny(string(data), "\r\x00\ufeff") {
			holds(t, name, data, d)
		}
	})
}

// FuzzParseBinary holds that no PDF or Office file takes the process down.
func FuzzParseBinary(f *testing.F) {
	t := new(testing.T)
	f.Add(uint8(0), pdfOf(false, "BT /F1 12 Tf 1 0 0 1 0 0 Tm [(a) -300 (b)] TJ T* (c) ' ET"))
	f.Add(uint8(0), pdfOf(true, "q 1 0 0 1 0 0 cm BT (a) Tj ET Q"))
	f.Add(uint8(1), docx(t))
	f.Add(uint8(2), pptx(t))
	f.Add(uint8(3), xlsx(t))
	f.Fuzz(func(t *testing.T, n uint8, data []byte) {
		name := []string{"a.pdf", "a.docx", "a.pptx", "a.xlsx", "a"}[n%5]
		d, err := document.Parse(t.Context(), name, data, document.Limits{MaxTextBytes: 1 << 16, MaxPages: 50, Timeout: 5 * time.Second})
		if err != nil {
			_, ok := errors.AsType[*document.Error](err)
			require.True(t, ok, "%v", err)
			return
		}
		size := 0
		for _, b := range d.Blocks {
			require.True(t, utf8.ValidString(b.Text) && !strings.Contains(b.Text, "\x00"))
			require.NotEmpty(t, strings.TrimSpace(b.Text))
			size += len(b.Text)
		}
		require.LessOrEqual(t, size, 1<<16+len(data))
	})
}

// FuzzDetect holds that files are told apart whatever their name.
func FuzzDetect(f *testing.F) {
	f.Add("a.go", []byte("package a"))
	f.Add("Makefile", []byte("#!/bin/sh"))
	f.Add("", []byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, name string, head []byte) {
		kind, _, ok := document.Detect(name, head)
		require.Equal(t, ok, kind != "")
	})
}
