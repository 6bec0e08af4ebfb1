package git_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/rag/fetch/git"
)

// pinned says that everything is here.
type pinned struct{}

func (pinned) Resolve(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func TestAddressesAreCheckedAndWrittenInFull(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for given, want := range map[string]string{
		"https://example.org/a/b.git":         "https://example.org/a/b.git",
		"HTTPS://example.org:8443/b":          "https://example.org:8443/b",
		"git@example.org:team/b.git":          "ssh://git@example.org/team/b.git",
		"example.org:b.git":                   "ssh://example.org/b.git",
		"ssh://git@example.org:2222/~u/b":     "ssh://git@example.org:2222/~u/b",
		"file://" + r.base + "/x/../repo/":    "file://" + r.base + "/repo",
		"https://example.org/a%20b/c.git":     "https://example.org/a%20b/c.git",
		"https://[2001:db8::1]:8443/repo":     "https://[2001:db8::1]:8443/repo",
		"ssh://example.org/with/--upload.git": "ssh://example.org/with/--upload.git",
	} {
		clean, problem := git.CleanURL(given, r.roots)
		require.Empty(t, problem, given)
		require.Equal(t, want, clean)
		again, problem := git.CleanURL(clean, r.roots)
		require.Empty(t, problem)
		require.Equal(t, clean, again)
	}
	for _, bad := range []string{
		"", "ext::sh -c id", "fd::17", "git://example.org/a", "ftp://example.org/a", "--upload-pack=id", "-oProxyCommand=id", "ssh://-oProxyCommand=id/x",
		"ssh://-x@example.org/y", "https://", "https://example.org", "https://example.org/", "https://user:pw@example.org/a", "https://user@example.org/a",
		"https://example.org/a?b=c", "https://example.org/a#b", "https://example.org/a b", "https://example.org/a\nb", "ssh://git@example.org/-x",
		"file:///etc", "file://host/x", "file://" + r.base + "/../x", "/srv/repo", "./x", "a::b", "http::https://example.org/x", "ssh://u@h'x/y",
		"https://exämple.org/a", "https://１２７.0.0.1/a", "https://example.org./a", "https://[fe80::1%25eth0]/a",
	} {
		_, problem := git.CleanURL(bad, r.roots)
		require.NotEmpty(t, problem, "%q", bad)
	}
}

func TestBranchesAndSubfolders(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "main", "feature/x-1", "v1.2", "ü"} {
		require.Empty(t, git.CheckBranch(good), "%q", good)
	}
	for _, bad := range []string{"-x", "a..b", "a b", "a:b", "a~1", "a^", "/a", "a/", "a//b", "@", "a@{0}", "a.lock", "a\\b", "a*", ".a", "a/.b", "a."} {
		require.NotEmpty(t, git.CheckBranch(bad), "%q", bad)
	}
	for given, want := range map[string]string{"": "", "/": "", "docs": "docs", "/docs//a/": "docs/a", ".": "", "a/../b": "b"} {
		clean, problem := git.CleanSubfolder(given)
		require.Empty(t, problem)
		require.Equal(t, want, clean)
	}
	for _, bad := range []string{"..", "../x", "a/../../x", "a\nb"} {
		_, problem := git.CleanSubfolder(bad)
		require.NotEmpty(t, problem, "%q", bad)
	}
}
