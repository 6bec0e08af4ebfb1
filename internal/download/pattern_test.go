package download

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The table was made by Python's fnmatch.fnmatchcase.
func TestPatternsMeanWhatFnmatchMeans(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/fnmatch.txt")
	require.NoError(t, err)
	defer f.Close()
	lines, n := bufio.NewScanner(f), 0
	for lines.Scan() {
		parts := strings.SplitN(lines.Text(), "\t", 3)
		require.Equal(t, parts[0] == "1", compilePattern(parts[1]).match(parts[2]), "%q on %q", parts[1], parts[2])
		n++
	}
	require.NoError(t, lines.Err())
	require.Greater(t, n, 200)
}

func TestFilesAreSelectedAsTheHubsLibraryDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path             string
		include, exclude []string
		want             bool
	}{
		{"a/b.json", nil, nil, true},
		{"a/b.json", []string{"*.json"}, nil, true},
		{"a/b.json", []string{"*.json"}, []string{"a/*"}, false},
		{"a/b.json", []string{"a/"}, nil, true},
		{"a/b.json", []string{`a\b.json`}, nil, true},
		{"a/b.json", []string{"b.json"}, nil, false},
		{"A.json", []string{"a.json"}, nil, false},
	} {
		require.Equal(t, c.want, selects(c.path, compilePatterns(c.include), compilePatterns(c.exclude)), "%+v", c)
	}
}

func FuzzPatternsAlwaysEnd(f *testing.F) {
	f.Add("*a*b*c[!x]?", "aaaaaaaaabbbbbbbc")
	f.Add("[", "[")
	f.Add(strings.Repeat("*a", 50), strings.Repeat("a", 200))
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > maxPatternLength || len(text) > maxPath {
			return
		}
		p := compilePattern(pattern)
		_ = p.match(text)
		require.True(t, compilePattern("*").match(text))
	})
}
