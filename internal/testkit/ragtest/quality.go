package ragtest

import (
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// Labelled is a question and the pages that answer it, any of which will do.
type Labelled struct {
	Question string
	Pages    []string
}

// libraries are modules that this repository builds with, and where their documentation lies. All of it is in
// the module cache of whoever builds.
func libraries() []struct{ name, module, under string } {
	return []struct{ name, module, under string }{
		{"huma", "github.com/danielgtaylor/huma/v2", "docs/docs"},
		{"mcp", "github.com/modelcontextprotocol/go-sdk", "docs"},
		{"river", "github.com/riverqueue/river", "docs"},
		{"riverui", "riverqueue.com/riverui", "docs"},
		{"goose", "github.com/pressly/goose/v3", "README.md"},
		{"redis", "github.com/redis/go-redis/v9", "README.md"},
		{"cel", "cel.dev/cel-go", "README.md"},
		{"cel", "cel.dev/cel-go", "ext/README.md"},
		{"cel", "cel.dev/cel-go", "docs"},
	}
}

// Documentation gives the pages of the labelled set, cut into chunks at their headings.
func Documentation(tb testing.TB) []File {
	tb.Helper()
	var files []File
	for _, l := range libraries() {
		dir := moduleDir(tb, l.module)
		root := filepath.Join(dir, l.under)
		require.NoError(tb, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
				return err
			}
			relative, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name := l.name + "/" + strings.TrimPrefix(strings.TrimPrefix(filepath.ToSlash(relative), "docs/docs/"), "docs/")
			files = append(files, File{Path: name, Kind: "markdown", Chunks: cut(name, string(text))})
			return nil
		}))
	}
	return files
}

func moduleDir(tb testing.TB, module string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "go", "list", "-m", "-json", module)
	out, err := cmd.Output()
	require.NoError(tb, err)
	var m struct{ Dir string }
	require.NoError(tb, json.Unmarshal(out, &m))
	require.NotEmpty(tb, m.Dir, "%s is not in the module cache", module)
	return m.Dir
}

// chunkWords is about how many words a chunk has.
const chunkWords = 220

// cut splits a page at its headings, and long sections at empty lines.
func cut(path, text string) []Chunk {
	var (
		out      []Chunk
		headings []string
		lines    []string
		words    int
		first    = 1
	)
	flush := func(next int) {
		if body := strings.TrimSpace(strings.Join(lines, "\n")); body != "" {
			out = append(out, Chunk{Text: body, Context: path + "\n" + strings.Join(headings, " > "), Heading: slices.Clone(headings), LineStart: first, LineEnd: next - 1})
		}
		lines, words, first = nil, 0, next
	}
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		fenced = fenced != strings.HasPrefix(strings.TrimSpace(line), "```")
		level := len(line) - len(strings.TrimLeft(line, "#"))
		if heading := strings.TrimSpace(strings.Trim(line, "#")); !fenced && level > 0 && level < 5 && heading != "" {
			flush(i + 1)
			headings = append(headings[:min(level-1, len(headings))], heading)
		}
		if words > chunkWords && strings.TrimSpace(line) == "" && !fenced || words > 2*chunkWords {
			flush(i + 1)
		}
		lines = append(lines, line)
		words += len(strings.Fields(line))
	}
	flush(strings.Count(text, "\n") + 2)
	return out
}

// Vector is an embedding without a model: words and pieces of words hashed onto dimensions. Texts that share
// them are near each other; what says the same in other words is not.
func Vector(text string, dimensions int) []float32 {
	sums := make([]float64, dimensions)
	counts := map[string]int{}
	var order []string
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if counts[w]++; counts[w] == 1 {
			order = append(order, w)
		}
	}
	for _, w := range order {
		weight := 1 + math.Log(float64(counts[w]))
		if len(w) <= 3 {
			addFeature(sums, w, 0.2*weight)
			continue
		}
		addFeature(sums, w, weight)
		edged := "^" + w + "$"
		n := len(edged) - 2
		for i := range n {
			addFeature(sums, "~"+edged[i:i+3], 0.6*weight/math.Sqrt(float64(n)))
		}
	}
	out := make([]float32, dimensions)
	for i, x := range sums {
		out[i] = float32(x)
	}
	return out
}

func addFeature(sums []float64, feature string, weight float64) {
	h := uint64(14695981039346656037)
	for i := range len(feature) {
		h = (h ^ uint64(feature[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	if h>>63 == 1 {
		weight = -weight
	}
	sums[h%uint64(len(sums))] += weight
}
