package document_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/document"
)

func parsed(t *testing.T, path, text string) document.Document {
	t.Helper()
	d, err := document.Parse(t.Context(), path, []byte(text), document.Limits{})
	require.NoError(t, err)
	return d
}

func codeOf(t *testing.T, path string, data []byte, l document.Limits) string {
	t.Helper()
	_, err := document.Parse(t.Context(), path, data, l)
	e, ok := errors.AsType[*document.Error](err)
	require.True(t, ok, "%v", err)
	require.NotEmpty(t, e.Message)
	return e.Code
}

// moduleCache is the folder of the modules that this one is built of.
var moduleCache = sync.OnceValue(func() string {
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
})

// realFiles gives some files of an extension from the module cache.
func realFiles(t *testing.T, ext string, most int) []string {
	t.Helper()
	var out []string
	for _, module := range []string{"golang.org/x", "github.com/jackc", "github.com/riverqueue", "github.com/yuin", "modernc.org", "github.com/danielgtaylor", "cel.dev"} {
		taken := 0
		_ = filepath.WalkDir(filepath.Join(moduleCache(), module), func(path string, d fs.DirEntry, err error) error {
			if err != nil || taken >= most || len(out) >= most*4 {
				return fs.SkipAll
			}
			if !d.IsDir() && strings.HasSuffix(path, "."+ext) {
				if i, err := d.Info(); err == nil && i.Size() > 0 && i.Size() < 200<<10 {
					out = append(out, path)
					taken++
				}
			}
			return nil
		})
	}
	require.NotEmpty(t, out, "no .%s in the module cache", ext)
	return out
}

// holds checks the invariants of documents of formats with lines.
func holds(t *testing.T, path string, data []byte, d document.Document) {
	t.Helper()
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	lines := strings.Split(text, "\n")
	next := 1
	for _, b := range d.Blocks {
		require.True(t, utf8.ValidString(b.Text))
		require.GreaterOrEqual(t, b.LineStart, next, "%s: blocks overlap", path)
		require.GreaterOrEqual(t, b.LineEnd, b.LineStart, path)
		require.Equal(t, strings.Join(lines[b.LineStart-1:b.LineEnd], "\n"), b.Text, path)
		for n := next; n < b.LineStart; n++ {
			require.Empty(t, strings.TrimSpace(lines[n-1]), "%s:%d is in no block", path, n)
		}
		next = b.LineEnd + 1
	}
	for n := next; n <= len(lines); n++ {
		require.Empty(t, strings.TrimSpace(lines[n-1]), "%s:%d is in no block", path, n)
	}
}

func TestBlocksOfRealFilesAreTheirLines(t *testing.T) {
	t.Parallel()
	for _, ext := range []string{"go", "md", "yaml", "json", "txt", "sh", "c", "py", "sql", "toml", "js"} {
		t.Run(ext, func(t *testing.T) {
			t.Parallel()
			for _, path := range realFiles(t, ext, 12) {
				data, err := os.ReadFile(path)
				require.NoError(t, err)
				d, err := document.Parse(t.Context(), path, data, document.Limits{})
				if e, ok := errors.AsType[*document.Error](err); ok && e.Code != document.TooSlow {
					continue
				}
				require.NoError(t, err, path)
				if utf8.Valid(data) {
					holds(t, path, data, d)
				}
			}
		})
	}
}

func TestFilesAreKnownByNameAndContent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, head, want string }{
		{"a/b.go", "package b", "code go"},
		{"A.PY", "x", "code python"},
		{"Makefile", "all:", "code make"},
		{"Dockerfile.dev", "FROM x", "code dockerfile"},
		{"run", "#!/usr/bin/env python3\n", "code python"},
		{"run", "#!/bin/sh\n", "code shell"},
		{"x", "<!DOCTYPE html><html>", "html "},
		{"README", "text", "text "},
		{"a.md", "# x", "markdown "},
		{"a.yml", "a: 1", "config yaml"},
		{"package.json", "{}", "config json"},
		{"a.csv", "a,b", "config csv"},
		{"a.rst", "x", "text "},
		{"x.bin", "%PDF-1.7", "pdf "},
		{"a.docx", "PK\x03\x04", "docx "},
		{"a.zip", "PK\x03\x04", "-"},
		{"a.png", "\x89PNG\r\n\x1a\n\x00", "-"},
		{"a.svg", "<svg/>", "-"},
		{"a.txt", "a\x00b\x00\x00", "-"},
		{"a.txt", "\xff\xfea\x00b\x00", "text "},
		{"a.txt", "a\x00b\x00c\x00d\x00e\x00", "text "},
		{"a.exe", "MZ\x90\x00\x03", "-"},
		{"a.pdf", "no", "-"},
		{"a.txt", "caf\xe9 cr\xe8me and more", "text "},
		{"a.docx", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "docx "},
		{`c:\x\a.go`, "package x", "code go"},
	} {
		kind, language, ok := document.Detect(c.path, []byte(c.head))
		got := string(kind) + " " + language
		if !ok {
			got = "-"
		}
		require.Equal(t, c.want, got, c.path)
	}
}

func TestTextIsDecodedWithItsLines(t *testing.T) {
	t.Parallel()
	utf16 := func(s string, big bool) string {
		var b strings.Builder
		for _, r := range s {
			if big {
				b.WriteByte(byte(r >> 8))
			}
			b.WriteByte(byte(r))
			if !big {
				b.WriteByte(byte(r >> 8))
			}
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"utf-8": "a ß\n\nb", "bom": "\ufeffa ß\n\nb", "crlf": "a ß\r\n\r\nb", "cr": "a ß\r\rb", "latin-1": "a \xdf\n\nb", "nul": "a ß\n\nb\n",
		"utf-16le": "\xff\xfe" + utf16("a ß\n\nb", false), "utf-16be": "\xfe\xff" + utf16("a ß\n\nb", true), "utf-16 without a mark": utf16("a ß\r\n\r\nb", false),
	} {
		d := parsed(t, "a.txt", text)
		require.Len(t, d.Blocks, 2, name)
		require.Equal(t, "a ß", d.Blocks[0].Text, name)
		require.Equal(t, 3, d.Blocks[1].LineStart, name)
		require.Equal(t, "b", d.Blocks[1].Text, name)
	}
	d := parsed(t, "a.html", "<meta charset=shift_jis><p>\x83e\x83X\x83g")
	require.Equal(t, "テスト", d.Blocks[0].Text)
	d = parsed(t, "a.txt", "zażółć gęślą \xff jaźń")
	require.Equal(t, "zażółć gęślą \uFFFD jaźń", d.Blocks[0].Text)
}

func TestMarkdownIsReadByHeadings(t *testing.T) {
	t.Parallel()
	text := "---\ntitle: \"Meta\"\n---\n# One *two*\nText\n\n- a\n\n  b\n- c\n\n## Sub\n```go\n# no heading\n\nx\n```\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[ref]: http://x\n\nSetext\n======\nlast\n"
	d := parsed(t, "a.md", text)
	holds(t, "a.md", []byte(text), d)
	require.Equal(t, "Meta", d.Title)
	var got []string
	for _, b := range d.Blocks {
		got = append(got, b.Kind+" "+strings.Join(b.Heading, "/"))
	}
	require.Equal(t, []string{"code ", "heading One two", "prose One two", "list One two", "heading One two/Sub", "code One two/Sub", "table One two/Sub", "heading Setext", "prose Setext"},
		dropProse(got, "prose One two/Sub"))
}

// dropProse drops what link definitions become: where they belong is not fixed.
func dropProse(list []string, drop string) []string {
	var out []string
	for _, s := range list {
		if s != drop {
			out = append(out, s)
		}
	}
	return out
}

func TestHTMLIsReadWithoutWhatIsAroundTheContent(t *testing.T) {
	t.Parallel()
	d := parsed(t, "a.html", "<html><head><title> The\n page </title><style>x{}</style></head>\n<body><nav>menu</nav>\n<main>\n<h1>Top</h1>\n<p>one &amp; <b>two</b>\nthree</p><script>no()</script>\n"+
		"<ul><li>a<li><p>b</p></ul>\n<h2>Sub</h2>\n<pre>x\n  y</pre><table><tr><th>h</th><th>i</th></tr><tr><td>1</td><td>2</td></tr></table>\n</main><footer>foot</footer></body></html>")
	require.Equal(t, "The page", d.Title)
	want := []document.Block{
		{Text: "Top", LineStart: 5, LineEnd: 5, Heading: []string{"Top"}, Kind: "heading"},
		{Text: "one & two three", LineStart: 6, LineEnd: 7, Heading: []string{"Top"}, Kind: "prose"},
		{Text: "- a", LineStart: 8, LineEnd: 8, Heading: []string{"Top"}, Kind: "list"},
		{Text: "- b", LineStart: 8, LineEnd: 8, Heading: []string{"Top"}, Kind: "list"},
		{Text: "Sub", LineStart: 9, LineEnd: 9, Heading: []string{"Top", "Sub"}, Kind: "heading"},
		{Text: "x\n  y", LineStart: 10, LineEnd: 11, Heading: []string{"Top", "Sub"}, Kind: "code"},
		{Text: "h | i\n1 | 2", LineStart: 11, LineEnd: 11, Heading: []string{"Top", "Sub"}, Kind: "table"},
	}
	for i := range d.Blocks {
		lines := strings.Split(d.Blocks[i].Text, "\n")
		for j := range lines {
			lines[j] = strings.TrimRight(lines[j], " ")
		}
		d.Blocks[i].Text = strings.Join(lines, "\n")
	}
	require.Equal(t, want, d.Blocks)
	d = parsed(t, "b.html", "<header>head</header><div>all <span>of</span> it</div><p hidden>no<p>yes<aside>no</aside>")
	require.Equal(t, "all of it", d.Blocks[0].Text)
	require.NotContains(t, texts(d), "head")
	require.Equal(t, 3, parsed(t, "c.html", "<table>\n<tr><td><p>\na</p></table>").Blocks[0].LineStart)
	require.Contains(t, texts(d), "yes")
}

func texts(d document.Document) string {
	var b strings.Builder
	for _, block := range d.Blocks {
		b.WriteString(block.Text + "\n")
	}
	return b.String()
}

func TestTextIsReadByParagraphsAndTitles(t *testing.T) {
	t.Parallel()
	d := parsed(t, "a.rst", "=====\nTitle\n=====\n\ntext\nmore\n\nSub\n---\n\nx\n\nSub 2\n-----\ny\n")
	require.Equal(t, "Title", d.Title)
	require.Equal(t, []string{"Title", "Sub 2"}, d.Blocks[len(d.Blocks)-1].Heading)
	require.Equal(t, "text\nmore", d.Blocks[1].Text)
	d = parsed(t, "a.adoc", "= T\n\n== S\nx\n\n----\n== \n")
	require.Equal(t, []string{"T", "S"}, d.Blocks[2].Heading)
}

func TestDataIsCutAtKeys(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("    \"k\": \"some value that is long\",\n", 60)
	d := parsed(t, "a.json", "{\n  \"name\": \"x\",\n  \"big\": {\n    \"in\": {\n"+long+"    \"z\": 1},\n    \"other\": [1,\n2]\n  },\n  \"last\": true\n}\n")
	var got []string
	for _, b := range d.Blocks {
		got = append(got, strings.Join(b.Heading, "/"))
	}
	require.Equal(t, "name", got[1])
	require.Contains(t, got, "big/in/k")
	require.Contains(t, got, "big/other")
	require.Equal(t, "last", got[len(got)-1])

	broken := "[{\"a\": {\n\"b\": [1,\n\"c\n"
	holds(t, "a.json", []byte(broken), parsed(t, "a.json", broken))

	d = parsed(t, "a.yaml", "# top\na: 1\nb:\n  c: 2\n\n  d: 3\n---\nkind: Service\nmetadata:\n  name: web\nspec: |\n  x: y\n")
	got = nil
	for _, b := range d.Blocks {
		got = append(got, strings.Join(b.Heading, "/"))
	}
	require.Equal(t, []string{"", "a", "b", "Service web", "Service web/kind", "Service web/metadata", "Service web/spec"}, got)

	d = parsed(t, "a.toml", "x = 1\n\n[a.b]\ny = [\n  2]\n\n[[c]]\nz = 3\n")
	require.Equal(t, []string{"c"}, d.Blocks[2].Heading)

	d = parsed(t, "a.csv", "id,name\n1,\"a\nb\"\n2,c\n")
	require.Len(t, d.Blocks, 3)
	require.Equal(t, document.Block{Text: "1,\"a\nb\"", LineStart: 2, LineEnd: 3, Heading: []string{"id,name"}, Kind: "row"}, d.Blocks[1])
}

func TestLimitsAreHeld(t *testing.T) {
	t.Parallel()
	require.Equal(t, document.TooLarge, codeOf(t, "a.txt", []byte("12345"), document.Limits{MaxBytes: 4}))
	require.Equal(t, document.TooLarge, codeOf(t, "a.txt", []byte("12345"), document.Limits{MaxTextBytes: 4}))
	require.Equal(t, document.NoText, codeOf(t, "a.txt", []byte(" \n"), document.Limits{}))
	require.Equal(t, document.Unsupported, codeOf(t, "a.png", []byte("\x89PNG\r\n\x1a\n\x00\x00"), document.Limits{}))
	d, err := document.Parse(t.Context(), "a.txt", []byte("12345"), document.Limits{MaxTextBytes: 4, Truncate: true})
	require.NoError(t, err)
	require.True(t, d.Truncated)
	require.Equal(t, "1234", d.Blocks[0].Text)
	require.Equal(t, document.TooSlow, codeOf(t, "a.txt", []byte("x"), document.Limits{Timeout: 1}))
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err = document.Parse(ctx, "a.txt", []byte("x"), document.Limits{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
