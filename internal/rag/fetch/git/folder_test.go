package git_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/fetch/local"
)

// Whoever may write into an allowed folder must not choose what else of this machine is read.
func TestRepositoriesThatLeadOutOfTheAllowedFoldersAreRefused(t *testing.T) {
	t.Parallel()
	r := setup(t)
	outer := r.base
	r.repo("private", map[string]string{"secret.md": "secret"})
	r.base = filepath.Join(outer, "open")
	require.NoError(t, os.MkdirAll(r.base, 0o750))
	var err error
	r.roots, err = local.NewRoots([]string{r.base})
	require.NoError(t, err)
	secret := filepath.Join(outer, "private", ".git")
	alternates := func(dir, text string) {
		r.git(filepath.Base(dir), "init", "-q", "-b", "main")
		head, err := os.ReadFile(filepath.Join(secret, "refs/heads/main"))
		require.NoError(t, err)
		write(t, filepath.Join(dir, ".git/refs/heads/main"), string(head))
		write(t, filepath.Join(dir, ".git/objects/info/alternates"), text)
	}
	lead := map[string]func(dir string){
		"link to .git":  func(dir string) { require.NoError(t, os.Symlink(secret, filepath.Join(dir, ".git"))) },
		"file for .git": func(dir string) { write(t, filepath.Join(dir, ".git"), "gitdir: "+secret+"\n") },
		"file by a relative way": func(dir string) {
			write(t, filepath.Join(dir, ".git"), "gitdir: ../../private/.git\n")
		},
		"alternates": func(dir string) {
			r.git(filepath.Base(dir), "init", "-q", "-b", "main")
			write(t, filepath.Join(dir, ".git/objects/info/alternates"), filepath.Join(secret, "objects")+"\n")
			head, err := os.ReadFile(filepath.Join(secret, "refs/heads/main"))
			require.NoError(t, err)
			write(t, filepath.Join(dir, ".git/refs/heads/main"), string(head))
		},
		"link to objects": func(dir string) {
			r.git(filepath.Base(dir), "init", "-q", "-b", "main")
			require.NoError(t, os.RemoveAll(filepath.Join(dir, ".git/objects")))
			require.NoError(t, os.Symlink(filepath.Join(secret, "objects"), filepath.Join(dir, ".git/objects")))
			head, err := os.ReadFile(filepath.Join(secret, "refs/heads/main"))
			require.NoError(t, err)
			write(t, filepath.Join(dir, ".git/refs/heads/main"), string(head))
		},
		"alternates behind what is looked at": func(dir string) {
			alternates(dir, strings.Repeat("#\n", 40<<10)+filepath.Join(secret, "objects")+"\n")
		},
		"alternates that end with a zero": func(dir string) {
			alternates(dir, filepath.Join(secret, "objects")+"\x00/x\n")
		},
		"alternates in quotes that are none": func(dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, `.git/objects/"\x2e`), 0o750))
			alternates(dir, `"\x2e/../../../../../private/.git/objects`+"\n")
		},
		"alternates with a return at the end": func(dir string) {
			alternates(dir, "there\r")
			require.NoError(t, os.Symlink(filepath.Join(secret, "objects"), filepath.Join(dir, ".git/objects/there\r")))
		},
		"alternates that name each other": func(dir string) { alternates(dir, strings.Repeat(".\n", 30<<10)) },
		"commondir that ends with a zero": func(dir string) {
			r.git(filepath.Base(dir), "init", "-q", "-b", "main")
			write(t, filepath.Join(dir, ".git/commondir"), secret+"\x00x\n")
		},
		"pipe for HEAD": func(dir string) {
			r.git(filepath.Base(dir), "init", "-q", "-b", "main")
			require.NoError(t, os.Remove(filepath.Join(dir, ".git/HEAD")))
			require.NoError(t, syscall.Mkfifo(filepath.Join(dir, ".git/HEAD"), 0o600))
		},
		"commondir": func(dir string) {
			r.git(filepath.Base(dir), "init", "-q", "-b", "main")
			write(t, filepath.Join(dir, ".git/commondir"), secret+"\n")
		},
	}
	n := 0
	for name, leads := range lead {
		n++
		repo := "r" + strings.Repeat("x", n)
		require.NoError(t, os.MkdirAll(filepath.Join(r.base, repo), 0o750))
		leads(filepath.Join(r.base, repo))
		err := r.fails(r.options(r.fileURL(repo)))
		require.True(t, errs.HasReason(err, "rag.outside_roots"), "%s: %v", name, err)
		_, err = r.fetcher(r.options(r.fileURL(repo))).Check(t.Context())
		require.True(t, errs.HasReason(err, "rag.outside_roots"), "%s: %v", name, err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o750))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
}

// A repository here may lead to places inside the allowed folders: work trees, shared objects.
func TestRepositoriesThatLeadToAllowedFoldersAreRead(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f.md": "one"})
	r.git("a", "worktree", "add", "-q", "-b", "side", filepath.Join(r.base, "side"))
	r.commit("side", map[string]string{"f.md": "two"})
	r.git(".", "clone", "-q", "--shared", filepath.Join(r.base, "a"), filepath.Join(r.base, "shared"))
	r.git(".", "clone", "-q", "--bare", filepath.Join(r.base, "a"), filepath.Join(r.base, "bare.git"))
	for repo, want := range map[string]string{"a": "one", "side": "two", "shared": "one", "bare.git": "one"} {
		tree, _ := r.sync(r.options(r.fileURL(repo)))
		require.Equal(t, map[string]string{"f.md": want}, r.texts(tree), repo)
	}
}

// Git decodes addresses once more: %2e%2e in a name must stay a name.
func TestPathsWithPercentSignsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f.md": "not this one"})
	require.NoError(t, os.MkdirAll(filepath.Join(r.base, "b"), 0o750))
	r.repo("b/%2e%2e/a", map[string]string{"f.md": "this one"})
	tree, _ := r.sync(r.options("file://" + r.base + "/b/%252e%252e/a"))
	require.Equal(t, map[string]string{"f.md": "this one"}, r.texts(tree))
}

func TestPartialClonesAreRefused(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f.md": "one"})
	marker := filepath.Join(r.data, "ran")
	r.git("a", "config", "core.repositoryformatversion", "1")
	r.git("a", "config", "extensions.partialclone", "origin")
	r.git("a", "config", "remote.origin.promisor", "true")
	r.git("a", "config", "remote.origin.url", r.base)
	r.git("a", "config", "remote.origin.uploadpack", "touch "+marker+"; false")
	require.NoError(t, os.RemoveAll(filepath.Join(r.base, "a/.git/objects", r.git("a", "rev-parse", "HEAD:f.md")[:2])))
	err := r.fails(r.options(r.fileURL("a")))
	require.True(t, errs.HasReason(err, "rag.git_partial"), "%v", err)
	require.NoFileExists(t, marker)
}

// The repository of a server must not choose what is read of this machine.
func TestSubmodulesOfAServerAreNotReadFromThisMachine(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("private", map[string]string{"s.md": "secret"})
	r.repo("a", map[string]string{"a.md": "a"})
	r.git("a", "submodule", "--quiet", "add", r.fileURL("private"), "lib")
	r.commit("a", nil)
	o := r.options(r.web().URL + "/a/.git")
	o.Submodules = true
	err := r.fails(o)
	require.True(t, errs.HasReason(err, "rag.git_submodules"), "%v", err)
	require.ErrorContains(t, err, "folder of this machine")
}

func TestSubmodulesAreCountedOverAllRepositories(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("leaf", map[string]string{"s.md": "leaf"})
	many := func(repo, of string, n int) {
		r.repo(repo, map[string]string{"x.md": repo})
		commit := r.git(of, "rev-parse", "HEAD")
		var modules strings.Builder
		for i := range n {
			name := "m" + string(rune('a'+i/26)) + string(rune('a'+i%26))
			modules.WriteString("[submodule \"" + name + "\"]\n\tpath = " + name + "\n\turl = " + r.fileURL(of) + "\n")
			r.git(repo, "update-index", "--add", "--cacheinfo", "160000,"+commit+","+name)
			require.NoError(t, os.MkdirAll(filepath.Join(r.base, repo, name), 0o750))
		}
		write(t, filepath.Join(r.base, repo, ".gitmodules"), modules.String())
		r.git(repo, "add", ".gitmodules")
		r.git(repo, "commit", "-q", "-m", "submodules")
	}
	many("middle", "leaf", 9)
	many("top", "middle", 6)
	o := r.options(r.fileURL("top"))
	o.Submodules = true
	err := r.fails(o)
	require.True(t, errs.HasReason(err, "rag.git_submodules"), "%v", err)
}

// A small repository can hold a tree of paths without an end.
func TestPathsThatAreTooLongEndAListing(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f.md": "one"})
	tree := r.git("a", "rev-parse", "HEAD^{tree}")
	for range 90 { // of 200 bytes each
		tree = r.mktree("a", "040000 tree "+tree+"\t"+strings.Repeat("d", 200)+"\n")
	}
	r.git("a", "update-ref", "refs/heads/main", r.git("a", "commit-tree", "-m", "long", tree))
	err := r.fails(r.options(r.fileURL("a")))
	require.True(t, errs.HasReason(err, "rag.git_too_many_files"), "%v", err)
}

// A read that is given up must not spoil the process that answers the next one.
func TestReadThatIsGivenUpLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f.md": "one"})
	tree, _ := r.sync(r.options(r.fileURL("a")))
	var item fetch.Item
	_, err := tree.Walk(t.Context(), func(i fetch.Item) error { item = i; return nil })
	require.NoError(t, err)
	for i := range 200 {
		short, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
		if file, err := tree.Open(short, item, 100); err == nil {
			require.NoError(t, file.Close())
		}
		cancel()
		file, err := tree.Open(t.Context(), item, 100)
		require.NoError(t, err)
		require.NoError(t, file.Close())
	}
	require.NoFileExists(t, filepath.Join(r.cache(), "llmctl-suspect"))
}
