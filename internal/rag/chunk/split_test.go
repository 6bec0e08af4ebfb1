package chunk_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/document"
	"github.com/llmctl/studio/internal/rag/chunk"
)

func split(t *testing.T, path, text string, o chunk.Options) []chunk.Chunk {
	t.Helper()
	d, err := document.Parse(t.Context(), path, []byte(text), document.Limits{})
	require.NoError(t, err)
	return chunk.Split(path, d, o)
}

// moduleCache is the folder of the modules that this one is built of.
var moduleCache = sync.OnceValue(func() string {
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
})

// moduleDir is the folder of a module that this one is built of.
func moduleDir(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// realFiles gives some files of an extension from the module cache.
func realFiles(tb testing.TB, ext string, most int) []string {
	tb.Helper()
	var out []string
	for _, module := range []string{"golang.org/x", "github.com/jackc", "github.com/riverqueue", "github.com/yuin", "modernc.org", "github.com/danielgtaylor", "cel.dev"} {
		taken := 0
		_ = filepath.WalkDir(filepath.Join(moduleCache(), module), func(path string, d fs.DirEntry, err error) error {
			if err != nil || taken >= most {
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
	require.NotEmpty(tb, out, "no .%s in the module cache", ext)
	return out
}

// squeezed is text without white space.
func squeezed(s string) string { return strings.Join(strings.Fields(s), "") }

// holds checks the invariants of the chunks of a format with lines.
func holds(t *testing.T, path, text string, chunks []chunk.Chunk, o chunk.Options) {
	t.Helper()
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	keys := map[string]bool{}
	var all strings.Builder
	for i, c := range chunks {
		require.Equal(t, i, c.Ordinal)
		require.False(t, keys[c.Key], "%s: a key twice", path)
		keys[c.Key] = true
		require.LessOrEqual(t, c.Tokens, o.MaxTokens, "%s:%d", path, c.LineStart)
		require.True(t, strings.HasPrefix(c.Context, path), c.Context)
		require.NotContains(t, c.Context, "\n")
		if c.LineStart == c.LineEnd { // maybe a piece of a line
			require.Contains(t, lines[c.LineStart-1], strings.TrimSpace(c.Text), "%s:%d", path, c.LineStart)
		} else if chunk.Tokens(lines[c.LineStart-1]) <= o.MaxTokens && chunk.Tokens(lines[c.LineEnd-1]) <= o.MaxTokens {
			require.Equal(t, squeezed(strings.Join(lines[c.LineStart-1:c.LineEnd], "\n")), squeezed(c.Text), "%s:%d", path, c.LineStart)
		}
		all.WriteString(c.Text)
	}
	require.Equal(t, squeezed(text), squeezed(all.String()), "%s: something is lost", path)
}

func TestChunksOfRealFilesAreTheirLinesAndNothingIsLost(t *testing.T) {
	t.Parallel()
	for _, ext := range []string{"go", "md", "yaml", "json", "txt", "c", "py", "sql", "js", "sh"} {
		t.Run(ext, func(t *testing.T) {
			t.Parallel()
			for i, path := range realFiles(t, ext, 12) {
				data, err := os.ReadFile(path)
				require.NoError(t, err)
				text := strings.ToValidUTF8(string(data), "")
				d, err := document.Parse(t.Context(), path, []byte(text), document.Limits{})
				if err != nil {
					continue
				}
				o := []chunk.Options{{TargetTokens: 400, MaxTokens: 800}, {TargetTokens: 30, MaxTokens: 60}}[i%2]
				holds(t, path, strings.TrimPrefix(text, "\ufeff"), chunk.Split(path, d, o), o)
			}
		})
	}
}

// changed counts the chunks of b that are not in a.
func changed(a, b []chunk.Chunk) []chunk.Chunk {
	keys := map[string]bool{}
	for _, c := range a {
		keys[c.Key] = true
	}
	var out []chunk.Chunk
	for _, c := range b {
		if !keys[c.Key] {
			out = append(out, c)
		}
	}
	return out
}

func TestAChangeOfAFunctionChangesItsChunksOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(moduleDir(t, "github.com/jackc/pgx/v5"), "conn.go")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	text := string(data)
	before := split(t, "conn.go", text, chunk.Options{})
	require.Greater(t, len(before), 20)
	tried := 0
	for n, c := range before {
		if n%4 != 0 || len(c.Heading) == 0 {
			continue
		}
		tried++
		lines := strings.Split(text, "\n")
		at := c.LineEnd - 1
		lines[at-2] += "\n\t// a line more"
		after := split(t, "conn.go", strings.Join(lines, "\n"), chunk.Options{})
		news := changed(before, after)
		for _, d := range news {
			near := d.LineEnd >= c.LineStart && d.LineStart <= c.LineEnd+1
			require.True(t, near || slices.Equal(d.Heading, c.Heading), "%s changed with %s", d.Context, c.Context)
		}
		require.LessOrEqual(t, len(news), 4, c.Context)
	}
	require.Greater(t, tried, 5)
}

func TestAChangeOfASectionChangesItsChunksOnly(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(moduleDir(t, "github.com/yuin/goldmark"), "README.md"))
	require.NoError(t, err)
	before := split(t, "README.md", string(data), chunk.Options{})
	require.Greater(t, len(before), 8)
	for n := range before {
		lines := strings.Split(string(data), "\n")
		last := &lines[before[n].LineEnd-1]
		if strings.HasPrefix(*last, "```") || strings.HasPrefix(*last, "|") || strings.HasPrefix(*last, "#") {
			continue
		}
		*last += " and words more"
		after := split(t, "README.md", strings.Join(lines, "\n"), chunk.Options{})
		for _, d := range changed(before, after) {
			near := d.LineStart <= before[n].LineEnd && d.LineEnd >= before[n].LineStart
			require.True(t, near || slices.Equal(d.Heading, before[n].Heading), "%s changed with %s", d.Context, before[n].Context)
		}
		require.LessOrEqual(t, len(changed(before, after)), 4, before[n].Context)
	}
}

func TestAnInsertionAtTheTopLeavesMostChunksOfTextWithoutStructure(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "%d some line of a log that has a few words %x\n", i*7919%10007, i*i)
	}
	for _, text := range []string{b.String(), strings.ReplaceAll(b.String(), "\n", " ")} {
		before := split(t, "a.log", text, chunk.Options{})
		require.Greater(t, len(before), 100)
		after := split(t, "a.log", "a few words more\n"+text, chunk.Options{})
		require.Less(t, len(changed(before, after)), 5)
		after = split(t, "a.log", text[:len(text)/2]+"\nnew\n"+text[len(text)/2:], chunk.Options{})
		require.Less(t, len(changed(before, after)), 6)
	}
}

func TestSmallSymbolsStandTogetherAndLargeOnesAlone(t *testing.T) {
	t.Parallel()
	large := func(name string) string {
		return "// " + name + " is large.\nfunc " + name + "() {\n" + strings.Repeat("\tdo(something, else)\n", 60) + "}\n\n"
	}
	chunks := split(t, "a.go", "package a\n\nfunc X() {}\n\nfunc Y() {}\n\n"+large("A")+large("B")+"func Z() {}\n", chunk.Options{})
	var got []string
	for _, c := range chunks {
		got = append(got, c.Context)
	}
	require.Equal(t, []string{"a.go > X, Y", "a.go > A", "a.go > B", "a.go > Z"}, got)
	require.True(t, strings.HasPrefix(chunks[1].Text, "// A is large."))
	require.Equal(t, []string{"A"}, chunks[1].Heading)
}

func TestWhatBelongsTogetherIsNotTornApart(t *testing.T) {
	t.Parallel()
	table := "| a | b |\n|---|---|\n" + strings.Repeat("| some words | and some more words |\n", 20)
	fence := "```\n" + strings.Repeat("code line with words\n\n", 25) + "```\n"
	chunks := split(t, "a.md", "# T\n\n"+strings.Repeat("Words of a paragraph. ", 40)+"\n\n"+table+"\n"+fence+"\n## Empty\n\n### Below\n\ntext\n", chunk.Options{TargetTokens: 200, MaxTokens: 400})
	whole := 0
	for _, c := range chunks {
		if strings.Contains(c.Text, "| a | b |") {
			require.Equal(t, 20, strings.Count(c.Text, "some more words"))
			whole++
		}
		if strings.Contains(c.Text, "```") {
			require.Equal(t, 25, strings.Count(c.Text, "code line"))
			whole++
		}
	}
	require.Equal(t, 2, whole)
	last := chunks[len(chunks)-1]
	require.Equal(t, "## Empty\n\n### Below\n\ntext", last.Text)
	require.Equal(t, "a.md > T > Empty > Below", last.Context)
}

func TestALargeTableRepeatsItsFirstRowInTheContext(t *testing.T) {
	t.Parallel()
	chunks := split(t, "a.md", "# T\n\n| id | name |\n|---|---|\n"+strings.Repeat("| some words | and some more words |\n", 200), chunk.Options{})
	require.Greater(t, len(chunks), 3)
	for _, c := range chunks[1:] {
		require.Equal(t, "a.md > T > | id | name |", c.Context)
	}
	chunks = split(t, "a.csv", "id,name\n"+strings.Repeat("some words,and some more words\n", 200), chunk.Options{})
	require.Greater(t, len(chunks), 3)
	for _, c := range chunks {
		require.Equal(t, "a.csv > id,name", c.Context)
	}
}

func TestEqualChunksHaveKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	section := "# A\n\n" + strings.Repeat("The same words again. ", 60) + "\n\n"
	chunks := split(t, "a.md", section+section, chunk.Options{})
	require.Len(t, chunks, 2)
	require.Equal(t, chunks[0].Text, chunks[1].Text)
	require.NotEqual(t, chunks[0].Key, chunks[1].Key)
	require.Equal(t, chunks[0].Key, split(t, "a.md", section, chunk.Options{})[0].Key)
	require.NotEqual(t, chunks[0].Key, split(t, "b.md", section, chunk.Options{})[0].Key)
}

func TestOverlapRepeatsTheEndOfTheChunkBefore(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "Line %d has some words in it.\n\n", i)
	}
	o := chunk.Options{TargetTokens: 100, MaxTokens: 120, OverlapTokens: 30}
	chunks := split(t, "a.txt", b.String(), o)
	for i, c := range chunks[1:] {
		require.LessOrEqual(t, c.LineStart, chunks[i].LineEnd, "no overlap")
		require.LessOrEqual(t, c.Tokens, o.MaxTokens)
	}
}

func TestNoChunkSpansPages(t *testing.T) {
	t.Parallel()
	d := document.Document{Blocks: []document.Block{{Text: "a", Page: 1}, {Text: "b", Page: 1}, {Text: "c", Page: 2}}}
	chunks := chunk.Split("a.pdf", d, chunk.Options{})
	require.Len(t, chunks, 2)
	require.Equal(t, "a\n\nb", chunks[0].Text)
	require.Equal(t, 2, chunks[1].Page)
}

// FuzzSplit holds the bounds, and that nothing is lost, for any text and any size.
func FuzzSplit(f *testing.F) {
	f.Add("a.md", "# a\n\nb\n\n## c\nd", 10, 20, 0)
	f.Add("a.go", "package a\n\nfunc A() {}\n", 1, 1, 3)
	f.Add("a.txt", strings.Repeat("wörd ", 300), 16, 16, 5)
	f.Add("a.csv", "a,b\n1,2\n", 400, 800, 100)
	f.Fuzz(func(t *testing.T, path, text string, target, most, overlap int) {
		d, err := document.Parse(t.Context(), path, []byte(text), document.Limits{})
		if err != nil {
			return
		}
		o := chunk.Options{TargetTokens: target % 1000, MaxTokens: most % 2000, OverlapTokens: overlap}
		chunks := chunk.Split(path, d, o)
		require.Equal(t, chunks, chunk.Split(path, d, o))
		most %= 2000
		if most <= 0 {
			most = chunk.DefaultMaxTokens
		}
		var in, out strings.Builder
		for _, b := range d.Blocks {
			in.WriteString(b.Text)
		}
		for i, c := range chunks {
			require.LessOrEqual(t, c.Tokens, max(most, 16))
			require.LessOrEqual(t, c.LineStart, c.LineEnd)
			require.NotEmpty(t, c.Key)
			require.Equal(t, i, c.Ordinal)
			out.WriteString(c.Text)
		}
		if overlap <= 0 {
			require.Equal(t, squeezed(in.String()), squeezed(out.String()))
		}
	})
}
