package scope_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/scope"
)

func TestPatternsOfPaths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"*.md", []string{"a.md", "x/y/a.md"}, []string{"a.mdx", "a.md/b"}},
		{"docs/", []string{"docs/a", "docs/x/y", "z/docs/a"}, []string{"docs", "mydocs/a"}},
		{"docs/*.md", []string{"docs/a.md"}, []string{"docs/x/a.md", "z/docs/a.md"}},
		{"docs/**", []string{"docs/a.md", "docs/x/a.md"}, []string{"z/docs/a.md"}},
		{"docs/**/a.md", []string{"docs/a.md", "docs/x/y/a.md"}, []string{"docs/xa.md"}},
		{"**/test/*.go", []string{"test/a.go", "x/test/a.go"}, []string{"test/x/a.go"}},
		{"/a.md", []string{"a.md"}, []string{"x/a.md"}},
		{"./x/a.md", []string{"x/a.md"}, []string{"a.md"}},
		{"a?c", []string{"abc"}, []string{"a/c", "abbc"}},
		{"a+(b)[c].{d}|$^\\", []string{"a+(b)[c].{d}|$^\\"}, []string{"aa(b)c"}},
		{"größe.*", []string{"größe.md"}, []string{"grösse.md"}},
	} {
		// What is used of it, Go's and Postgres' expressions understand alike.
		m := regexp.MustCompile(scope.Regexp(c.pattern))
		for _, path := range c.yes {
			require.True(t, m.MatchString(path), "%s should match %s", c.pattern, path)
		}
		for _, path := range c.no {
			require.False(t, m.MatchString(path), "%s should not match %s", c.pattern, path)
		}
	}
}

func TestAllFaultsOfAFilterAreToldAtOnce(t *testing.T) {
	t.Parallel()
	require.NoError(t, scope.Filter{}.Check())
	require.True(t, scope.Filter{}.Empty())
	at := time.Now()
	err := scope.Filter{Paths: []string{"ok", "", strings.Repeat("x", 501), "\xff"}, Kinds: make([]string, 51), ModifiedAfter: &at, ModifiedBefore: &at}.Check()
	require.True(t, errs.HasReason(err, scope.ReasonFilter))
	var places []string
	for _, d := range errs.As(err).Details {
		places = append(places, d.Location)
	}
	require.Equal(t, []string{"filters.paths[1]", "filters.paths[2]", "filters.paths[3]", "filters.kinds", "filters.modified_before"}, places)
}

func TestTheJoinNamesItsParametersInOrder(t *testing.T) {
	t.Parallel()
	at := time.Now()
	args := scope.Args{"before"}
	sql := scope.Join(&args, []scope.Source{{ID: 3, Revision: 7}}, scope.Filter{Paths: []string{"*"}, Languages: []string{"Go"}, Kinds: []string{"CODE"}, ModifiedAfter: &at, ModifiedBefore: &at})
	require.Len(t, args, 8)
	require.Equal(t, []int64{3}, args[1])
	require.Equal(t, []int64{7}, args[2])
	require.Equal(t, []string{"go"}, args[4])
	require.Contains(t, sql, "f.modified_at < $8")
}

func FuzzRegexp(f *testing.F) {
	for _, seed := range []string{"**/*.go", "a[", "\\", "(", "x/**/**/y", "{a,b}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		if (scope.Filter{Paths: []string{pattern}}).Check() != nil {
			return
		}
		_, err := regexp.Compile(scope.Regexp(pattern))
		require.NoError(t, err)
	})
}
