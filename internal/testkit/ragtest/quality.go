package ragtest

import (
	"crypto/sha256"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm/featurehash"
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

// Embedded gives the files with vectors of a stand-in for a model.
func Embedded(files []File, vector func(text string, dimensions int) []float32, dimensions int) []File {
	for i := range files {
		for j := range files[i].Chunks {
			c := &files[i].Chunks[j]
			c.Vector = vector(c.Context+"\n"+c.Text, dimensions)
		}
	}
	return files
}

// Halves divides questions by the hash of their text: weights may be chosen by the first half only, so that the second one
// says what they are worth.
func Halves(questions []Labelled) (tuned, heldOut []Labelled) {
	for _, l := range questions {
		if sha256.Sum256([]byte(l.Question))[0]&1 == 0 {
			tuned = append(tuned, l)
		} else {
			heldOut = append(heldOut, l)
		}
	}
	return tuned, heldOut
}

// Quality asks labelled questions. answer gives the paths of the first five passages, best first. It
// gives the share of questions with a right page among them, and the mean of the reciprocal ranks of the first right one.
func Quality(tb testing.TB, questions []Labelled, answer func(question string) []string) (recall, mrr float64) {
	tb.Helper()
	for _, l := range questions {
		paths := answer(l.Question)
		at := slices.IndexFunc(paths, func(path string) bool { return slices.Contains(l.Pages, path) })
		if at >= 0 {
			recall += 1 / float64(len(questions))
			mrr += 1 / float64(at+1) / float64(len(questions))
		}
	}
	return recall, mrr
}

func moduleDir(tb testing.TB, module string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "go", "list", "-m", "-json", module)
	out, err := cmd.Output()
	require.NoError(tb, err)
	var m struct {
		Dir string `json:"Dir"`
	}
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

// Vector stands in for an embedding model: that of featurehash, of a text that says its synonyms too and leaves grammar
// out. The synonyms were written by who wrote the questions, so what it finds says how lists that err differently are joined, and nothing
// about models.
func Vector(text string, dimensions int) []float32 {
	meanings := meaningOf()
	var out []string
	for _, w := range featurehash.Words(text) {
		if strings.Contains(grammar, " "+w+" ") {
			continue
		}
		out = append(out, w)
		stem := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(w, "s"), "ing"), "ed"), "e")
		if m, found := meanings[stem]; found {
			out = append(out, "meaning"+m, "of"+m)
		}
	}
	return featurehash.Vector(strings.Join(out, " "), dimensions)
}

// grammar are words that say little.
const grammar = " a an and any are as at be before but by can do does for from go has have how i if in into is it its just like me my need no not of on one only or " +
	"own should so that the their them then there they this to use want was what when where which while who why will with without would you your "

// meaningOf gives for a word, without its ending, the first of those that mean the same.
//
//nolint:gochecknoglobals // read from a text once
var meaningOf = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(synonyms) {
		words := strings.Fields(line)
		for _, w := range words {
			out[w] = words[0]
		}
	}
	return out
})

const synonyms = `imag pictur photo png jpeg
undo rollback revert down roll
password credential secret authentication auth login basic
payload body upload
limit maximum size byte most
mistak error bug flaw rough
retry backoff attempt
answer reply response return
ask request query
upgrad migrat migration
start begin startup launch boot
stop shutdown exit terminat end cancel
stream piec chunk
render show display
hid conceal omit hidden
validat check validation verify
requir need mandatory necessary dependent
benchmark performanc fast speed compar
modify change update patch alter edit
token oauth jwt bearer
terminal cli command shell consol
sdk library packag
group prefix base
test unit
stat status
dashboard ui interfac web html
health livenes prob
minimum least smallest min
maximum greatest largest max
cost expensiv estimat
exponential grow
wait delay sleep timeout
connect dial connection
embed embedd
legacy old previou compatibility backward behaviour
second v2
first v1
function method handler
custom own
traffic network http
rout path url
event push notification notify
progres report
job task work
transaction commit
many several batch pipelin
`
