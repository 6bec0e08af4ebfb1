package fetch_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
)

// verdict is what a source with these patterns does with a file.
func verdict(s fetch.Selection, path string, size int64) string {
	f := fetch.NewFilter(s)
	if folder, ok := f.Folders(path); !ok {
		return "folder " + folder
	}
	return [...]string{"take", "exclude", "binary", "too large"}[f.File(path, size)]
}

func TestPatternsMeanNamesAtAnyDepthPathsFromTheRootAndWholeFolders(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		include, exclude, path, want string
	}{
		{"", "", "a/b.go", "take"},
		{"*.md", "", "README.md", "take"},
		{"*.md", "", "docs/deep/x.md", "take"},
		{"*.md", "", "docs/x.txt", "exclude"},
		{"docs/*.md", "", "docs/x.md", "take"},
		{"docs/*.md", "", "docs/deep/x.md", "exclude"},
		{"docs/*.md", "", "other/docs/x.md", "exclude"},
		{"docs/**/*.md", "", "docs/x.md", "take"},
		{"docs/**/*.md", "", "docs/a/b/x.md", "take"},
		{"docs", "", "docs/a/x.go", "take"},
		{"docs/", "", "other/docs/x.go", "take"},
		{"/docs", "", "other/docs/x.go", "exclude"},
		{"/docs", "", "docs/x.go", "take"},
		{"*.{go,mod}", "", "go.mod", "take"},
		{"[a-c]*.go", "", "d.go", "exclude"},
		{"", "*_test.go", "x/a_test.go", "exclude"},
		{"", "vendor", "x/vendor/a.go", "folder x/vendor"},
		{"", "x/**", "x/a.go", "folder x"},
		{"*.go", "a.go", "a.go", "exclude"},
		{"", "", "x/node_modules/a.js", "folder x/node_modules"},
		{"", "", "build/a.md", "folder build"},
		{"build/docs/*.md", "", "build/docs/a.md", "take"},
		{".git/**", "", ".git/config", "folder .git"},
		{"", "", ".github/workflows/ci.yml", "take"},
		{"", "", "logo.PNG", "binary"},
		{"", "", "Ünïcode 名.txt", "take"},
		{"名*", "", "x/名.txt", "take"},
	} {
		s := fetch.Selection{}
		if c.include != "" {
			require.Empty(t, fetch.CheckPattern(c.include))
			s.Include = []string{c.include}
		}
		if c.exclude != "" {
			require.Empty(t, fetch.CheckPattern(c.exclude))
			s.Exclude = []string{c.exclude}
		}
		require.Equal(t, c.want, verdict(s, c.path, 1), "%+v", c)
	}
}

func TestDocumentsHaveALimitOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := fetch.Selection{MaxFileBytes: 100, MaxPDFBytes: 1000}
	require.Equal(t, "take", verdict(s, "a.md", 100))
	require.Equal(t, "too large", verdict(s, "a.md", 101))
	require.Equal(t, "take", verdict(s, "a.PDF", 1000))
	require.Equal(t, "too large", verdict(s, "a.docx", 1001))
	require.Equal(t, "take", verdict(fetch.Selection{MaxFileBytes: 2000, MaxPDFBytes: 1000}, "a.pdf", 1500), "what is fine for text is fine for them")
	require.Equal(t, "take", verdict(fetch.Selection{}, "a.pdf", 1<<40), "no limit")
}

func TestPatternsThatCannotMeanAnythingAreRefused(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"", "/", "//", "a/../b", "./a", "..", "[a", "{a", `a\`, "!a", "a\nb", "a\x00", "\xff", strings.Repeat("a", 301), strings.Repeat("**/", 6) + "a"} {
		require.NotEmpty(t, fetch.CheckPattern(p), "%q", p)
	}
	for _, p := range []string{"a", "/a", "a/", "**", "**/*.md", "a..b", "...", ".env*", "[!a]*", "{a,b}/c"} {
		require.Empty(t, fetch.CheckPattern(p), "%q", p)
	}
}

func TestLimitedGivesTheLimitAndFailsBehindIt(t *testing.T) {
	t.Parallel()
	for n := range 10 {
		r := fetch.Limited(io.NopCloser(bytes.NewReader(make([]byte, n))), "x", 5)
		got, err := io.ReadAll(r)
		if n <= 5 {
			require.NoError(t, err)
			require.Len(t, got, n)
			continue
		}
		require.True(t, errs.Is(err, errs.TooLarge))
		require.Len(t, got, 5)
		_, err = r.Read(make([]byte, 1))
		require.True(t, errs.Is(err, errs.TooLarge), "and stays so")
	}
}

func TestSoMuchThatCannotBeListedMeansThatNothingIsKnown(t *testing.T) {
	t.Parallel()
	var s fetch.Skipped
	for i := range 1200 {
		s.CannotList(strings.Repeat("x", i+1)+"/", "permission denied")
	}
	require.Equal(t, 1200, s.Unreadable)
	require.Len(t, s.Unlisted, 1001)
	require.True(t, s.Unlisted[1000].Holds("any/file"))
	require.False(t, s.Unlisted[0].Holds("xx/file"))
	require.True(t, s.Unlisted[0].Holds("x/deep/file"))
}

func FuzzCheckedPatternsMatchInReasonableTime(f *testing.F) {
	f.Add("**/a*{b,c}[d-e]?", "a/b/c")
	f.Fuzz(func(_ *testing.T, pattern, path string) {
		if fetch.CheckPattern(pattern) == "" && len(path) < 200 {
			verdict(fetch.Selection{Include: []string{pattern}, Exclude: []string{pattern + "x"}}, path, 1)
		}
	})
}
