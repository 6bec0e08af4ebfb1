package download

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/download/hub"
	"github.com/llmctl/studio/internal/errs"
)

func TestARequestIsCheckedAsAWholeWithTheFieldAndWhatIsAccepted(t *testing.T) {
	t.Parallel()
	r := Request{RepoID: "o/../m", Revision: "../x", Include: []string{"ok", ""}, Exclude: make([]string, maxPatterns+1), Token: "a b"}
	e := errs.As(r.clean())
	require.Equal(t, errs.Invalid, e.Code)
	var places []string
	for _, d := range e.Details {
		places = append(places, d.Location)
	}
	require.Equal(t, []string{"body.exclude", "body.include[1]", "body.repo_id", "body.revision", "body.token"}, places)

	good := Request{RepoID: "Qwen/Qwen2.5-0.5B_x", Revision: "refs/pr/1"}
	require.NoError(t, good.clean())
	require.Equal(t, []string{}, good.Include)
	for _, id := range []string{"", "/m", "o/", "o/m/x", "-o/m", "o/m-", "o--x/m", "o/m.git", "o/m m", "o/ä", "o/" + strings.Repeat("a", 97), "."} {
		require.NotEmpty(t, repoFault(id), id)
	}
	require.Empty(t, repoFault("gpt2"))
	for _, rev := range []string{"..", "a..b", "/a", "a//b", "a?b", "-a", ".", ""} {
		require.NotEmpty(t, revisionFault(rev), rev)
	}
}

func TestTargetsOfDifferentRevisionsDiffer(t *testing.T) {
	t.Parallel()
	require.Equal(t, "o--m", targetOf("o/m", "main"))
	require.Equal(t, "o--m@v1.0", targetOf("o/m", "v1.0"))
	seen := map[string]string{}
	for _, rev := range []string{"main", "a/b", "a-b", "a--b", "a_b", "refs/pr/1", strings.Repeat("x", 50), strings.Repeat("x", 51), "A/b"} {
		target := targetOf("o/m", rev)
		require.Empty(t, seen[target], "%s and %s", rev, seen[target])
		require.Equal(t, target, filepath.Base(target))
		seen[target] = rev
	}
}

func TestNamesThatLeaveTheirFolderOrExcludeEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"", "../x", "/etc/passwd", "a/../../b", "a//b", "./a", "a/.", `a\b`, "a\x00b", "a\nb", ".llmctl-download.json", strings.Repeat("a", 256), "\xff"} {
		err := checkFiles([]hub.File{{Path: p}})
		require.True(t, errs.HasReason(err, "download.unsafe_path"), "%q", p)
	}
	require.Error(t, checkFiles([]hub.File{{Path: "a"}, {Path: "a/b"}}))
	require.Error(t, checkFiles([]hub.File{{Path: "a"}, {Path: "a"}}))
	require.NoError(t, checkFiles([]hub.File{{Path: "a/..b/c...d"}, {Path: "a/x"}, {Path: ".gitattributes"}}))
}

func FuzzNamesThatAreAcceptedStayInTheirFolder(f *testing.F) {
	f.Add("a/b")
	f.Add("../a")
	f.Add("a/./b")
	f.Fuzz(func(t *testing.T, p string) {
		if pathFault(p) == "" {
			require.True(t, filepath.IsLocal(filepath.FromSlash(p)), "%q", p)
			require.Equal(t, p, filepath.ToSlash(filepath.Clean(p)))
		}
	})
}
