package local_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/fetch/local"
)

type bundle struct {
	root  string
	roots local.Roots
}

func setup(t *testing.T) bundle {
	t.Helper()
	b := bundle{root: t.TempDir()}
	var err error
	b.roots, err = local.NewRoots([]string{b.root})
	require.NoError(t, err)
	return b
}

func (b bundle) write(t *testing.T, path, text string) string {
	t.Helper()
	full := filepath.Join(b.root, path)
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o750))
	require.NoError(t, os.WriteFile(full, []byte(text), 0o600))
	return full
}

func (b bundle) tree(t *testing.T, path string, s fetch.Selection) fetch.Tree {
	t.Helper()
	tree, err := local.New(b.roots, filepath.Join(b.root, path), fetch.NewFilter(s)).Sync(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tree.Close()) })
	return tree
}

func walk(t *testing.T, tree fetch.Tree) ([]fetch.Item, fetch.Skipped) {
	t.Helper()
	var items []fetch.Item
	skipped, err := tree.Walk(t.Context(), func(i fetch.Item) error { items = append(items, i); return nil })
	require.NoError(t, err)
	return items, skipped
}

func paths(items []fetch.Item) []string {
	out := make([]string, len(items))
	for i := range items {
		out[i] = items[i].Path
	}
	return out
}

func read(t *testing.T, tree fetch.Tree, path string, limit int64) (string, error) {
	t.Helper()
	r, err := tree.Open(t.Context(), fetch.Item{Path: path}, limit)
	if err != nil {
		return "", err
	}
	defer func() { require.NoError(t, r.Close()) }()
	text, err := io.ReadAll(r)
	return string(text), err
}

func TestWalkGivesWhatIsMeantInTheOrderOfPaths(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, p := range []string{"b.md", "a/x.md", "a.md", "a-b/y.md", "Ü/名 (1).txt", "node_modules/m.js", ".git/config", "p.png", "a/big.md"} {
		b.write(t, "src/"+p, "text of "+p)
	}
	b.write(t, "src/a/big.md", strings.Repeat("x", 2000))
	b.write(t, "src/bad\xff.md", "x")
	items, skipped := walk(t, b.tree(t, "src", fetch.Selection{MaxFileBytes: 1000, Exclude: []string{"b.md"}}))
	want := []string{"a-b/y.md", "a.md", "a/x.md", "Ü/名 (1).txt"}
	require.Equal(t, want, paths(items))
	require.True(t, slices.IsSorted(want), "byte order of the whole paths, as databases with the C collation have it")
	require.Equal(t, fetch.Skipped{Excluded: 3, TooLarge: 1, Binary: 1, Unreadable: 1, Examples: []string{"bad\uFFFD.md: its name is not UTF-8"}}, skipped)
	require.EqualValues(t, len("text of a.md"), items[1].Size)
	require.WithinDuration(t, time.Now(), items[1].ModifiedAt, time.Minute)
}

func TestFingerprintChangesWithTimeAndSize(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.write(t, "a.md", "one")
	tree := b.tree(t, "", fetch.Selection{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	stamp := func(at time.Time) string {
		require.NoError(t, os.Chtimes(path, at, at))
		items, _ := walk(t, tree)
		return items[0].Fingerprint
	}
	first := stamp(at)
	require.Equal(t, first, stamp(at))
	require.NotEqual(t, first, stamp(at.Add(time.Nanosecond)))
	b.write(t, "a.md", "three")
	require.NotEqual(t, first, stamp(at))
}

func TestNothingOutsideIsRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	outside := filepath.Join(t.TempDir(), "secret.txt")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o600))
	b.write(t, "beside/secret.txt", "secret")
	b.write(t, "src/in.txt", "fine")
	b.write(t, "src/deep/in.txt", "fine")
	link := func(to, at string) { require.NoError(t, os.Symlink(to, filepath.Join(b.root, at))) }
	link(outside, "src/out.txt")
	link("../beside/secret.txt", "src/beside.txt")
	link(filepath.Dir(outside), "src/folder")
	link("../in.txt", "src/deep/inside.txt")
	link("nothing", "src/broken.txt")
	link("deep", "src/also-deep")
	require.NoError(t, syscall.Mkfifo(filepath.Join(b.root, "src/pipe.txt"), 0o600))

	tree := b.tree(t, "src", fetch.Selection{})
	items, skipped := walk(t, tree)
	require.Equal(t, []string{"deep/in.txt", "deep/inside.txt", "in.txt"}, paths(items))
	require.Equal(t, []string{
		"also-deep: it is a link to a folder, which is not followed", "beside.txt: it is a link that leads out of the source",
		"broken.txt: it is a link to nothing", "folder: it is a link that leads out of the source",
		"out.txt: it is a link that leads out of the source", "pipe.txt: it is no file (named pipe)",
	}, skipped.Examples)

	for _, p := range []string{"out.txt", "beside.txt", "folder/secret.txt", "../beside/secret.txt", outside, "pipe.txt", "deep"} {
		_, err := read(t, tree, p, 0)
		require.Error(t, err, p)
	}
	text, err := read(t, tree, "deep/inside.txt", 0)
	require.NoError(t, err)
	require.Equal(t, "fine", text)

	// What was a file becomes a link, and the folder too: the border holds when it is read.
	require.NoError(t, os.Remove(filepath.Join(b.root, "src/in.txt")))
	link(outside, "src/in.txt")
	_, err = read(t, tree, "in.txt", 0)
	require.ErrorContains(t, err, "leads out")
	require.NoError(t, os.RemoveAll(filepath.Join(b.root, "src/deep")))
	link(filepath.Dir(outside), "src/deep")
	_, err = read(t, tree, "deep/secret.txt", 0)
	require.ErrorContains(t, err, "leads out")
}

func TestSourcesLieInsideTheRoots(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := func(r local.Roots, path string) error {
		tree, err := local.New(r, path, fetch.NewFilter(fetch.Selection{})).Sync(context.Background(), nil)
		if err == nil {
			require.NoError(t, tree.Close())
		}
		return err
	}
	for _, p := range []string{filepath.Dir(b.root), b.root + "x", b.root + "/../x", "/etc", "relative"} {
		_, problem := b.roots.Clean(p)
		require.NotEmpty(t, problem, p)
		err := open(b.roots, p)
		require.True(t, errs.HasReason(err, "rag.outside_roots"), "%s: %v", p, err)
	}
	clean, problem := b.roots.Clean(b.root + "/a/./b/")
	require.Empty(t, problem)
	require.Equal(t, filepath.Join(b.root, "a/b"), clean)
	require.True(t, errs.HasReason(open(b.roots, clean), "rag.folder_missing"))
	none, err := local.NewRoots(nil)
	require.NoError(t, err)
	_, problem = none.Clean("/srv/docs")
	require.Equal(t, "is /srv/docs, which is not inside the allowed folders (LLMCTL_STUDIO_RAG_LOCAL_ROOTS is empty). An administrator adds it there and starts the Studio again", problem)

	require.NoError(t, os.Symlink("/etc", filepath.Join(b.root, "etc")))
	err = open(b.roots, filepath.Join(b.root, "etc"))
	require.True(t, errs.HasReason(err, "rag.outside_roots"), "%v", err)
	require.Contains(t, errs.As(err).Message, "a link that leads out")
	b.write(t, "file", "x")
	require.True(t, errs.HasReason(open(b.roots, filepath.Join(b.root, "file")), "rag.not_a_folder"))
	require.NoError(t, open(b.roots, b.root))
}

func TestBrowseShowsFoldersInsideTheRootsOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, "b/x", "")
	b.write(t, "a/y", "")
	b.write(t, "file", "")
	require.NoError(t, os.Symlink("/etc", filepath.Join(b.root, "etc")))
	got, err := b.roots.Browse(b.root)
	require.NoError(t, err)
	require.Equal(t, []local.Folder{{Name: "a", Path: b.root + "/a"}, {Name: "b", Path: b.root + "/b"}}, got)
	_, err = b.roots.Browse("/")
	require.True(t, errs.HasReason(err, "rag.outside_roots"))
	_, err = b.roots.Browse(b.root + "/etc")
	require.Error(t, err)
	require.Equal(t, []local.Root{{Path: b.root, Exists: true}}, b.roots.List())
}

func TestFilesAreReadUpToTheLimitAndMissingOnesAreNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.write(t, "a.md", "0123456789")
	tree := b.tree(t, "", fetch.Selection{})
	text, err := read(t, tree, "a.md", 10)
	require.NoError(t, err)
	require.Equal(t, "0123456789", text)
	_, err = read(t, tree, "a.md", 9)
	require.True(t, errs.Is(err, errs.TooLarge))
	require.NoError(t, os.Remove(path))
	_, err = read(t, tree, "a.md", 10)
	require.True(t, errs.Is(err, errs.NotFound))
}

func TestFolderThatMayNotBeReadIsCountedAndTheWalkGoesOn(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	b := setup(t)
	b.write(t, "closed/x", "")
	b.write(t, "open/x", "")
	require.NoError(t, os.Chmod(filepath.Join(b.root, "closed"), 0))
	t.Cleanup(func() { require.NoError(t, os.Chmod(filepath.Join(b.root, "closed"), 0o700)) })
	items, skipped := walk(t, b.tree(t, "", fetch.Selection{}))
	require.Equal(t, []string{"open/x"}, paths(items))
	require.Equal(t, 1, skipped.Unreadable)
	require.Equal(t, []fetch.Unlisted{{Path: "closed/", Reason: "permission denied"}}, skipped.Unlisted)
}

func TestWhatIsNoFileIsToldApartFromWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, "a.md", "x")
	require.NoError(t, os.Symlink("nothing", filepath.Join(b.root, "broken.md")))
	require.NoError(t, os.Symlink("loop.md", filepath.Join(b.root, "loop.md")))
	items, skipped := walk(t, b.tree(t, "", fetch.Selection{}))
	require.Equal(t, []string{"a.md"}, paths(items))
	require.Equal(t, 2, skipped.Unreadable)
	require.Equal(t, []fetch.Unlisted{{Path: "loop.md", Reason: "too many levels of symbolic links"}}, skipped.Unlisted)
}

func TestCheckCountsAndSaysWhenNothingIsMeant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, "a.md", "x")
	check := func(s fetch.Selection) fetch.Report {
		r, err := local.New(b.roots, b.root, fetch.NewFilter(s)).Check(t.Context())
		require.NoError(t, err)
		return r
	}
	require.Equal(t, 1, check(fetch.Selection{}).Files)
	require.Contains(t, check(fetch.Selection{Include: []string{"*.go"}}).Message, "Check the patterns")
}

func TestTenThousandFilesAreWalkedInWellUnderASecond(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := b.write(t, "one", "x") // links to one file are made much faster than files
	for d := range 100 {
		dir := filepath.Join(b.root, fmt.Sprintf("p%d/q/r%d", d%10, d))
		require.NoError(t, os.MkdirAll(dir, 0o750))
		for n := range 100 {
			require.NoError(t, os.Link(one, filepath.Join(dir, fmt.Sprintf("file%d.go", n))))
		}
	}
	tree := b.tree(t, "", fetch.Selection{Include: []string{"*.go", "docs/**/*.md"}, Exclude: []string{"*_test.go", "vendor"}})
	began := time.Now()
	items, _ := walk(t, tree)
	took := time.Since(began)
	require.Len(t, items, 10_000)
	t.Logf("10000 files in %v", took)
	require.Less(t, took, 5*time.Second, "a machine that is busy, and the race detector")
}

func TestWhatIsOpenedLiesInTheAllowedFolders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o600))
	inside := b.write(t, "a/f.md", "text")
	require.NoError(t, os.Symlink(inside, filepath.Join(b.root, "absolute")))
	require.NoError(t, os.Symlink(outside, filepath.Join(b.root, "out")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(b.root, "pipe"), 0o600))
	for _, good := range []string{inside, filepath.Join(b.root, "absolute"), filepath.Join(b.root, "pipe"), b.root} {
		f, err := b.roots.Open(good)
		require.NoError(t, err, good)
		require.NoError(t, f.Close())
	}
	for _, bad := range []string{outside, filepath.Join(b.root, "out"), "/", filepath.Dir(b.root)} {
		_, err := b.roots.Open(bad)
		require.ErrorIs(t, err, local.ErrOutside, bad)
	}
	_, err := b.roots.Open(filepath.Join(b.root, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A link that is put in the way between the look and the read leads nowhere.
func TestPlacesThatChangeWhileTheyAreOpenedStayInside(t *testing.T) {
	t.Parallel()
	b := setup(t)
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o600))
	place := b.write(t, "f", "text")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Remove(place + ".new")
			_ = os.Symlink(outside, place+".new")
			_ = os.Rename(place+".new", place)
			_ = os.WriteFile(place+".new", []byte("text"), 0o600)
			_ = os.Rename(place+".new", place)
		}
	}()
	for range 2000 {
		f, err := b.roots.Open(place)
		if err != nil {
			continue
		}
		text, err := io.ReadAll(f)
		require.NoError(t, errors.Join(err, f.Close()))
		require.NotEqual(t, "secret", string(text))
	}
	close(stop)
	<-done
}

func TestFoldersWithTooManyFilesAreGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 4 {
		b.write(t, fmt.Sprint("f", i), "x")
	}
	f := local.New(b.roots, b.root, fetch.NewFilter(fetch.Selection{}))
	f.Hold(3)
	tree, err := f.Sync(t.Context(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, tree.Close()) }()
	_, err = tree.Walk(t.Context(), func(fetch.Item) error { return nil })
	require.True(t, errs.HasReason(err, "rag.local_too_many_files"), "%v", err)
}
