package git_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/fetch/git"
)

func TestSyncGivesTheFilesOfTheDefaultBranchAndThenOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"README.md": "one", "src/main.go": "package main", "Ü ber/名.txt": "unicode", "logo.png": "x", "node_modules/m.js": "x"})
	r.git("a", "branch", "other")
	w := r.web()
	o := r.options(w.URL + "/a/.git")
	tree, told := r.sync(o)
	require.Equal(t, map[string]string{"README.md": "one", "src/main.go": "package main", "Ü ber/名.txt": "unicode"}, r.texts(tree))
	require.Equal(t, r.git("a", "rev-parse", "HEAD"), tree.Revision())
	require.Contains(t, told[0], "The branch main is at")
	skipped, err := tree.Walk(ctx(t), func(fetch.Item) error { return nil })
	require.NoError(t, err)
	require.Equal(t, fetch.Skipped{Excluded: 1, Binary: 1}, skipped)

	fetched := w.posts.Load()
	require.Greater(t, fetched, int64(1))
	again, told := r.sync(o)
	require.Contains(t, told, "Nothing was committed since the last time.")
	require.Equal(t, fetched+1, w.posts.Load(), "it asks where the branch is, and nothing is fetched")
	require.Equal(t, fingerprints(t, tree), fingerprints(t, again))

	for n := range 3 {
		r.commit("a", map[string]string{"README.md": fmt.Sprint("edit ", n)})
	}
	newer, _ := r.sync(o)
	require.Equal(t, "edit 2", r.texts(newer)["README.md"])
	before, after := fingerprints(t, tree), fingerprints(t, newer)
	require.NotEqual(t, before["README.md"], after["README.md"])
	require.Equal(t, before["src/main.go"], after["src/main.go"])
	require.Equal(t, "one", r.texts(tree)["README.md"], "a tree does not change while it is read")

	o.Branch = "other"
	other, _ := r.sync(o)
	require.Equal(t, "one", r.texts(other)["README.md"])
}

func fingerprints(t *testing.T, tree fetch.Tree) map[string]string {
	t.Helper()
	out := map[string]string{}
	_, err := tree.Walk(t.Context(), func(i fetch.Item) error { out[i.Path] = i.Fingerprint; return nil })
	require.NoError(t, err)
	return out
}

func TestWalkIsInTheOrderOfPaths(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"b": "1", "a/x": "1", "a.md": "1", "a-b/y": "1", "z/vendor/q": "1", "é": "1"})
	o := r.options(r.fileURL("a"))
	o.Filter = fetch.NewFilter(fetch.Selection{Exclude: []string{"vendor"}})
	tree, _ := r.sync(o)
	var paths []string
	skipped, err := tree.Walk(ctx(t), func(i fetch.Item) error { paths = append(paths, i.Path); return nil })
	require.NoError(t, err)
	require.Equal(t, []string{"a-b/y", "a.md", "a/x", "b", "é"}, paths)
	require.True(t, slices.IsSorted(paths))
	require.Equal(t, 1, skipped.Excluded)
}

func TestHistoryThatWasRewrittenAndRenamedBranchesAreFollowed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f": "one"})
	r.commit("a", map[string]string{"f": "two"})
	o := r.options(r.fileURL("a"))
	r.sync(o)
	r.git("a", "reset", "-q", "--hard", "HEAD~1")
	r.commit("a", map[string]string{"f": "rewritten"})
	tree, _ := r.sync(o)
	require.Equal(t, map[string]string{"f": "rewritten"}, r.texts(tree))
	r.git("a", "branch", "-m", "main", "trunk")
	r.commit("a", map[string]string{"f": "trunk"})
	tree, told := r.sync(o)
	require.Equal(t, map[string]string{"f": "trunk"}, r.texts(tree))
	require.Contains(t, told[0], "The branch trunk")

	o.Branch = "main"
	err := r.fails(o)
	require.True(t, errs.HasReason(err, "rag.git_no_branch"), "%v", err)
	require.Contains(t, errs.As(err).Message, "choose another one: trunk.")
	r.git("a", "checkout", "-q", "--detach")
	o.Branch = ""
	tree, _ = r.sync(o)
	require.Equal(t, map[string]string{"f": "trunk"}, r.texts(tree), "HEAD that is at no branch")
}

func TestSubfolderAndItsAbsence(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"docs/a.md": "a", "docs/deep/b.md": "b", "c.md": "c"})
	o := r.options(r.fileURL("a"))
	o.Subfolder = "docs"
	tree, _ := r.sync(o)
	require.Equal(t, map[string]string{"a.md": "a", "deep/b.md": "b"}, r.texts(tree))
	o.Subfolder = "nothing/here"
	require.True(t, errs.HasReason(r.fails(o), "rag.git_no_folder"))
	o.Subfolder = "c.md"
	require.True(t, errs.HasReason(r.fails(o), "rag.git_no_folder"))
}

func TestTokenIsNeededAndNeverShown(t *testing.T) {
	t.Parallel()
	const token = "secret-token-0123456789"
	r := setup(t)
	r.repo("a", map[string]string{"f": "one"})
	w := r.web()
	w.token.Store(token)
	o := r.options(w.URL + "/a/.git")
	err := r.fails(o)
	require.True(t, errs.HasReason(err, "rag.git_refused"), "%v", err)
	require.Contains(t, errs.As(err).Message, "wants a token")
	o.Token = "another-token"
	err = r.fails(o)
	require.Contains(t, errs.As(err).Message, "refuses the token")
	require.NotContains(t, err.Error(), "another-token")
	o.Token = token
	tree, told := r.sync(o)
	require.Equal(t, map[string]string{"f": "one"}, r.texts(tree))
	report, err := r.fetcher(o).Check(ctx(t))
	require.NoError(t, err)
	require.Equal(t, tree.Revision(), report.Revision)
	require.NotContains(t, fmt.Sprint(told, report), token)
	require.NoError(t, filepath.WalkDir(r.data, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			text, readErr := os.ReadFile(path)
			require.NoError(t, readErr)
			require.NotContains(t, string(text), token, path)
		}
		return err
	}))
}

func TestAddressesThatAreNotPublicAndRedirectsAreRefused(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f": "one"})
	w := r.web()
	o := r.options(w.URL + "/a/.git")
	none, err := egress.New(nil)
	require.NoError(t, err)
	o.Resolver = none
	err = r.fails(o)
	require.True(t, errs.HasReason(err, "rag.address_refused"), "%v", err)
	require.Contains(t, errs.As(err).Message, "LLMCTL_STUDIO_RAG_SOURCE_ALLOW")
	require.Zero(t, w.requests.Load())

	elsewhere := r.web()
	w.redirect.Store(elsewhere.URL)
	o.Resolver = r.allow
	require.True(t, errs.HasReason(r.fails(o), "rag.git_redirect"))
	require.Zero(t, elsewhere.requests.Load())
}

func TestNamesAreResolvedHereAndNotByGit(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f": "one"})
	w := r.web()
	_, port, _ := strings.Cut(strings.TrimPrefix(w.URL, "http://"), ":")
	o := r.options("http://git.invalid:" + port + "/a/.git") // a name that no server of names knows
	require.True(t, errs.HasReason(r.fails(o), "rag.git_unreachable"))
	o.Resolver = pinned{}
	tree, _ := r.sync(o)
	require.Equal(t, map[string]string{"f": "one"}, r.texts(tree))
}

func TestCutConnectionIsAnErrorAndTheNextTryGoesOn(t *testing.T) {
	t.Parallel()
	r := setup(t)
	files := map[string]string{}
	for n := range 200 {
		noise := make([]byte, 1000)
		for i := range noise {
			noise[i] = byte('a' + rand.IntN(26))
		}
		files[fmt.Sprintf("f%d", n)] = string(noise)
	}
	r.repo("a", files)
	w := r.web()
	w.cut.Store(true)
	o := r.options(w.URL + "/a/.git")
	err := r.fails(o)
	require.True(t, errs.Is(err, errs.Unavailable), "%v", err)
	w.cut.Store(false)
	tree, _ := r.sync(o)
	require.Len(t, r.texts(tree), 200)
}

func TestDamagedCopyIsMadeAnew(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, dir string){
		"head removed": func(t *testing.T, dir string) { t.Helper(); require.NoError(t, os.Remove(filepath.Join(dir, "HEAD"))) },
		"objects removed": func(t *testing.T, dir string) {
			t.Helper()
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "objects")))
		},
		"pack removed": func(t *testing.T, dir string) {
			t.Helper()
			for _, p := range packs(t, dir) {
				require.NoError(t, os.Remove(p))
			}
		},
		"shallow removed": func(t *testing.T, dir string) {
			t.Helper()
			require.NoError(t, os.Remove(filepath.Join(dir, "shallow")))
		},
		"ref of another commit": func(t *testing.T, dir string) {
			t.Helper()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "refs/llmctl/head"), []byte(strings.Repeat("1", 40)+"\n"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			r.repo("a", map[string]string{"f": "one"})
			r.commit("a", map[string]string{"f": "two"})
			o := r.options(r.fileURL("a"))
			r.sync(o)
			harm(t, r.cache())
			tree, _ := r.sync(o)
			require.Equal(t, map[string]string{"f": "two"}, r.texts(tree))
			r.commit("a", map[string]string{"g": "three"})
			tree, _ = r.sync(o)
			require.Equal(t, map[string]string{"f": "two", "g": "three"}, r.texts(tree))
		})
	}
}

func packs(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "objects/pack/*"))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found
}

func TestFileThatCannotBeReadHasTheCopyMadeAnewTheNextTime(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f": strings.Repeat("some text ", 1000)})
	o := r.options(r.fileURL("a"))
	tree, _ := r.sync(o)
	for _, p := range packs(t, r.cache()) {
		require.NoError(t, os.Remove(p))
	}
	_, err := tree.Open(ctx(t), fetch.Item{Path: "f", Fingerprint: fingerprints(t, tree)["f"]}, 0)
	require.Error(t, err)
	again, _ := r.sync(o)
	require.Len(t, r.texts(again)["f"], 10_000)
}

func TestLimitOfSizesEndsAFetch(t *testing.T) {
	t.Parallel()
	r := setup(t)
	noise := make([]byte, 4<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	r.repo("a", map[string]string{"big": string(noise)})
	o := r.options(r.fileURL("a"))
	o.MaxBytes = 1 << 20
	err := r.fails(o)
	require.True(t, errs.HasReason(err, "rag.git_too_large"), "%v", err)
	require.Contains(t, errs.As(err).Message, "larger than 1 MiB")
	o.MaxBytes = 0
	tree, _ := r.sync(o)
	var item fetch.Item
	_, err = tree.Walk(ctx(t), func(i fetch.Item) error { item = i; return nil })
	require.NoError(t, err)
	_, err = tree.Open(ctx(t), item, 1<<20)
	require.True(t, errs.Is(err, errs.TooLarge))
}

func TestLargeFilesAreStreamed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	text := bytes.Repeat([]byte("0123456789abcdef"), (9<<20)/16)
	r.repo("a", map[string]string{"big.txt": string(text)})
	tree, _ := r.sync(r.options(r.fileURL("a")))
	var item fetch.Item
	_, err := tree.Walk(ctx(t), func(i fetch.Item) error { item = i; return nil })
	require.NoError(t, err)
	file, err := tree.Open(ctx(t), item, 10<<20)
	require.NoError(t, err)
	got, err := io.ReadAll(file)
	require.NoError(t, err)
	require.True(t, bytes.Equal(text, got))
	require.NoError(t, file.Close())
	file, err = tree.Open(ctx(t), item, 10<<20)
	require.NoError(t, err)
	require.NoError(t, file.Close(), "unread")
}

func TestManyReadATreeAtTheSameTime(t *testing.T) {
	t.Parallel()
	r := setup(t)
	files := map[string]string{}
	for n := range 300 {
		files[fmt.Sprintf("f%d", n)] = fmt.Sprint("text ", n)
	}
	r.repo("a", files)
	tree, _ := r.sync(r.options(r.fileURL("a")))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := tree.Walk(t.Context(), func(i fetch.Item) error {
				file, err := tree.Open(t.Context(), i, 100)
				if err != nil {
					return err
				}
				text, err := io.ReadAll(file)
				if string(text) != files[i.Path] {
					t.Errorf("%s: %q", i.Path, text)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := tree.Open(gone, fetch.Item{Path: "f1", Fingerprint: fingerprints(t, tree)["f1"]}, 0)
	require.Error(t, err)
	require.Equal(t, files, r.texts(tree), "and it goes on")
}

func TestSubmodulesAreLeftOutUnlessTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("inner", map[string]string{"i.md": "inner"})
	r.repo("lib", map[string]string{"l.md": "lib"})
	r.git("lib", "submodule", "--quiet", "add", r.fileURL("inner"), "deep")
	r.commit("lib", nil)
	r.repo("a", map[string]string{"a.md": "a"})
	r.git("a", "submodule", "--quiet", "add", "../lib", "ext/lib")
	r.commit("a", nil)
	r.commit("lib", map[string]string{"later.md": "not named by a"})
	o := r.options(r.fileURL("a"))
	tree, _ := r.sync(o)
	texts := r.texts(tree)
	delete(texts, ".gitmodules")
	require.Equal(t, map[string]string{"a.md": "a"}, texts)
	o.Submodules = true
	tree, _ = r.sync(o)
	texts = r.texts(tree)
	delete(texts, ".gitmodules")
	delete(texts, "ext/lib/.gitmodules")
	require.Equal(t, map[string]string{"a.md": "a", "ext/lib/l.md": "lib", "ext/lib/deep/i.md": "inner"}, texts)
	o.Subfolder = "ext"
	tree, _ = r.sync(o)
	require.Contains(t, r.texts(tree), "lib/deep/i.md")
}

func TestCopiesOfSourcesThatAreGoneAreRemoved(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f": "one"})
	o := r.options(r.fileURL("a"))
	r.sync(o)
	o.SourceID = 8
	r.sync(o)
	n, err := git.Clean(git.Dir(r.data), func(id int64) bool { return id == 8 })
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoDirExists(t, r.cache())
	require.DirExists(t, filepath.Join(git.Dir(r.data), "8.git"))
	n, err = git.Clean(filepath.Join(r.data, "nothing"), func(int64) bool { return false })
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestManySynchronisationsAreTidiedUp(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f": "0"})
	o := r.options(r.fileURL("a"))
	for n := range 21 {
		r.commit("a", map[string]string{"f": fmt.Sprint("text ", n)})
		r.sync(o)
	}
	found, err := filepath.Glob(filepath.Join(r.cache(), "objects/pack/*.pack"))
	require.NoError(t, err)
	require.Less(t, len(found), 5)
	tree, _ := r.sync(o)
	require.Equal(t, "text 20", r.texts(tree)["f"])
}

func TestTwoAtATimeWaitForEachOther(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f": "one"})
	o := r.options(r.fileURL("a"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			f, err := git.New(o)
			if err != nil {
				t.Error(err)
				return
			}
			tree, err := f.Sync(t.Context(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			_ = tree.Close()
		})
	}
	wg.Wait()
}

func TestCancelEndsASynchronisation(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f": "one"})
	gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := r.fetcher(r.options(r.fileURL("a"))).Sync(gone, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestRepositoriesThatAreNoneAreExplained(t *testing.T) {
	t.Parallel()
	r := setup(t)
	require.NoError(t, os.MkdirAll(filepath.Join(r.base, "plain"), 0o750))
	require.NoError(t, os.MkdirAll(filepath.Join(r.base, "empty"), 0o750))
	r.git("empty", "init", "-q")
	require.True(t, errs.HasReason(r.fails(r.options(r.fileURL("plain"))), "rag.git_not_found"))
	require.True(t, errs.HasReason(r.fails(r.options(r.fileURL("gone"))), "rag.folder_missing"))
	require.True(t, errs.HasReason(r.fails(r.options(r.fileURL("empty"))), "rag.git_empty"))
	w := r.web()
	require.True(t, errs.HasReason(r.fails(r.options(w.URL+"/gone.git")), "rag.git_not_found"))
	require.True(t, errs.HasReason(r.fails(r.options("http://127.0.0.1:1/x.git")), "rag.git_failed"))
	_, err := git.New(r.options("ext::sh -c id"))
	require.True(t, errs.HasReason(err, "rag.git_url"))
}

func TestTreesAreClosedTwiceAndReadNoMore(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.repo("a", map[string]string{"f.md": "one"})
	tree, err := r.fetcher(r.options(r.fileURL("a"))).Sync(t.Context(), nil)
	require.NoError(t, err)
	var item fetch.Item
	_, err = tree.Walk(t.Context(), func(i fetch.Item) error { item = i; return nil })
	require.NoError(t, err)
	require.NoError(t, tree.Close())
	require.NoError(t, tree.Close())
	_, err = tree.Open(t.Context(), item, 100)
	require.Error(t, err)
	require.NoFileExists(t, filepath.Join(r.cache(), "llmctl-suspect"), "the copy is not at fault")
}

func TestLockOfARemovedCopyIsNotHeldByWhoWaitedForIt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "7.git")
	first, err := git.Lock(t.Context(), dir)
	require.NoError(t, err)
	got := make(chan func(), 1)
	go func() {
		unlock, err := git.Lock(context.Background(), dir)
		if err == nil {
			got <- unlock
		}
	}()
	require.NoError(t, os.Remove(strings.TrimSuffix(dir, ".git")+".lock")) // as the removal of a copy does
	third, err := git.Lock(t.Context(), dir)
	require.NoError(t, err)
	first()
	select {
	case <-got:
		t.Fatal("two hold the lock")
	case <-time.After(300 * time.Millisecond):
	}
	third()
	(<-got)()
}

func TestCommandsThatDoNotEndAreEnded(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	slow := filepath.Join(home, "git")
	require.NoError(t, os.WriteFile(slow, []byte("#!/bin/sh\nsleep 60 & wait\n"), 0o700))
	began := time.Now()
	require.ErrorIs(t, git.RunFor(t.Context(), slow, home, 50*time.Millisecond), git.ErrLocal)
	require.Less(t, time.Since(began), 20*time.Second)

	packs := filepath.Join(home, "7.git", "objects", "pack")
	require.NoError(t, os.MkdirAll(packs, 0o700))
	for i := range 30 {
		require.NoError(t, os.WriteFile(filepath.Join(packs, fmt.Sprint("p", i, ".pack")), nil, 0o600))
	}
	require.NoError(t, git.Tidy(t.Context(), slow, filepath.Join(home, "7.git"), 50*time.Millisecond), "files can be read all the same")
	require.FileExists(t, filepath.Join(home, "7.git", "llmctl-suspect"), "the next one makes it anew")
}

func TestSecretGoesAlongToSubmodulesOfTheSameOwnerOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source, submodule string
		along             bool
	}{
		{"https://h/owner/a.git", "https://h/owner/b.git", true},
		{"https://h/owner/a", "https://h/owner/group/b", true},
		{"https://h/g/sub/a.git", "https://h/g/other/b.git", false},
		{"https://h/owner/a.git", "https://h/owner2/b.git", false},
		{"https://h/owner/a.git", "https://h/owner/../owner2/b.git", false},
		{"https://h/owner/a.git", "https://h/owner/%2e%2e/owner2/b.git", false},
		{"https://h/owner/a.git", "https://h:8443/owner/b.git", false},
		{"https://h/owner/a.git", "http://h/owner/b.git", false},
		{"https://h/a.git", "https://h/b.git", false},
		{"https://h/owner/a/.git", "https://h/owner/b/.git", true},
		{"https://h/owner/a.git", "https://h/Owner/b.git", false},
		{"https://H/owner/a.git", "https://h/owner/b.git", true},
		{"ssh://git@h/owner/a.git", "ssh://git@h/owner/b.git", true},
		{"ssh://git@h/owner/a.git", "ssh://other@h/owner/b.git", false},
	} {
		require.Equal(t, c.along, git.SameOwner(c.source, c.submodule), "%s %s", c.source, c.submodule)
	}
}

func TestTokenIsNotSentToASubmoduleOfAnotherOwner(t *testing.T) {
	t.Parallel()
	r := setup(t)
	w := r.web()
	for _, name := range []string{"mine/a", "mine/lib", "other/lib"} {
		r.repo(name, map[string]string{"f.md": name})
	}
	for i, lib := range []string{"mine/lib", "other/lib"} {
		commit := r.git(lib, "rev-parse", "HEAD")
		write(t, filepath.Join(r.base, "mine/a/.gitmodules"), "[submodule \"lib\"]\n\tpath = lib\n\turl = "+w.URL+"/"+lib+"/.git\n")
		r.git("mine/a", "update-index", "--add", "--cacheinfo", "160000,"+commit+",lib")
		require.NoError(t, os.MkdirAll(filepath.Join(r.base, "mine/a/lib"), 0o750))
		r.git("mine/a", "add", ".gitmodules")
		r.git("mine/a", "commit", "-q", "-m", "submodule")
		w.token.Store("sesame")
		o := r.options(w.URL + "/mine/a/.git")
		o.Submodules, o.Token = true, "sesame"
		if i == 0 {
			tree, _ := r.sync(o)
			require.Equal(t, "mine/lib", r.texts(tree)["lib/f.md"])
			continue
		}
		err := r.fails(o)
		require.True(t, errs.HasReason(err, "rag.git_refused"), "%v", err)
		require.ErrorContains(t, err, "same owner")
	}
}
