package transfer

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// memory is a source that has everything, and is as unreliable as a test wants.
type memory struct {
	mu      sync.Mutex
	content map[string][]byte // by path
	served  int64
	opened  int
	etag    string
	whole   bool
	// before an answer; an error is given instead of it.
	before func(f File, from, to int64, etag string) error
	// cut ends an answer after that many bytes; 0: never.
	cut int64
	// gate is waited for before each read, if not nil.
	gate chan struct{}
}

type fault struct {
	temporary, whole, replaced bool
	after                      time.Duration
}

func (f *fault) Error() string             { return "fault" }
func (f *fault) Temporary() bool           { return f.temporary }
func (f *fault) WholeOnly() bool           { return f.whole }
func (f *fault) Replaced() bool            { return f.replaced }
func (f *fault) RetryAfter() time.Duration { return f.after }

func (m *memory) Open(_ context.Context, f File, from, to int64, etag string) (*Content, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened++
	if m.before != nil {
		if err := m.before(f, from, to, etag); err != nil {
			return nil, err
		}
	}
	if m.whole && (from != 0 || to != f.Size) {
		return nil, &fault{whole: true}
	}
	b := m.content[f.Path][from:to]
	if m.cut > 0 && int64(len(b)) > m.cut {
		b = b[:m.cut]
	}
	return &Content{ReadCloser: io.NopCloser(&counting{m: m, r: bytes.NewReader(b)}), ETag: m.etag}, nil
}

type counting struct {
	m *memory
	r io.Reader
}

func (c *counting) Read(b []byte) (int, error) {
	if c.m.gate != nil {
		<-c.m.gate
	}
	n, err := c.r.Read(b)
	c.m.mu.Lock()
	c.m.served += int64(n)
	c.m.mu.Unlock()
	return n, err
}

func pseudo(seed uint64, n int) []byte {
	var s [32]byte
	s[0] = byte(seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(s).Read(b)
	return b
}

func (m *memory) file(path string, content []byte, git bool) File {
	m.content[path] = content
	f := File{ID: int64(len(m.content)), Path: path, Size: int64(len(content)), HashKind: SHA256}
	if git {
		h := sha1.New()
		fmt.Fprintf(h, "blob %d\x00", len(content))
		h.Write(content)
		f.HashKind, f.Hash = GitSHA1, hex.EncodeToString(h.Sum(nil))
		return f
	}
	sum := sha256.Sum256(content)
	f.Hash = hex.EncodeToString(sum[:])
	return f
}

func newMemory() *memory { return &memory{content: map[string][]byte{}} }

func stageAt(t *testing.T, models string, g Generation) *Stage {
	t.Helper()
	s, err := OpenStage(t.Context(), models, "o--m", g, 0)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func options(m *memory) FetchOptions {
	return FetchOptions{
		Source: m, Streams: 4, Logger: slog.New(slog.DiscardHandler), Backoff: func(int) time.Duration { return time.Millisecond },
	}
}

func placed(t *testing.T, models string, m *memory, files ...File) {
	t.Helper()
	for _, f := range files {
		got, err := os.ReadFile(filepath.Join(models, "o--m", filepath.FromSlash(f.Path)))
		require.NoError(t, err)
		require.True(t, bytes.Equal(m.content[f.Path], got), f.Path)
	}
	require.NoDirExists(t, filepath.Join(models, stagesDir, "o--m"))
}

func TestFilesArePlacedVerifiedAndAllAtOnce(t *testing.T) {
	t.Parallel()
	models, m := t.TempDir(), newMemory()
	files := []File{
		m.file("config.json", []byte(`{"a":1}`), true), m.file("empty", nil, true), m.file("sub/dir/large.bin", pseudo(1, 20<<20), false),
		m.file("same/again.bin", pseudo(1, 20<<20), false),
	}
	s := stageAt(t, models, Generation{1, 1})
	f := NewFetch(s, files, options(m))
	require.NoError(t, f.Run(t.Context()))
	require.NoDirExists(t, filepath.Join(models, "o--m"), "nobody sees the target before it is complete")
	changed, done, fetched, finished := f.Changes(100)
	require.Len(t, changed, 4)
	require.Equal(t, 4, finished)
	require.Equal(t, int64(40<<20+7), done)
	require.Equal(t, int64(20<<20+7), fetched, "the same content is fetched once")
	require.NoError(t, s.Place("o/m", "c0ffee", map[string]string{"name": "m"}))
	placed(t, models, m, files...)
	require.FileExists(t, filepath.Join(models, "o--m", ModelFile))
	manifest, err := ReadManifest(models, "o--m")
	require.NoError(t, err)
	require.Len(t, manifest.Files, 4)
}

func TestAFetchGoesOnFromTheBytesOnTheDisk(t *testing.T) {
	t.Parallel()
	models, m := t.TempDir(), newMemory()
	files := []File{m.file("a.bin", pseudo(2, 30<<20), false), m.file("b.bin", pseudo(3, 3<<20), true)}
	m.cut = 300 << 10
	var ended atomicCount
	for attempt := int32(1); ; attempt++ {
		require.Less(t, attempt, int32(100))
		s, err := OpenStage(t.Context(), models, "o--m", Generation{1, attempt}, 0)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		m.before = func(File, int64, int64, string) error {
			if ended.add() > 12 { // the process "dies" after some answers
				cancel()
			}
			return nil
		}
		f := NewFetch(s, files, options(m))
		err = f.Run(ctx)
		cancel()
		ended = atomicCount{}
		if err == nil {
			require.Greater(t, attempt, int32(3))
			require.NoError(t, s.Place("o/m", "c", nil))
			s.Close()
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		s.Close()
	}
	placed(t, models, m, files...)
	require.LessOrEqual(t, m.served, int64(33<<20)+int64(33<<20)/20, "hardly anything is fetched twice")
}

type atomicCount struct {
	mu sync.Mutex
	n  int
}

func (c *atomicCount) add() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func TestAWrongHashIsFetchedOnceMoreAndThenFailsWithBothHashes(t *testing.T) {
	t.Parallel()
	models, m := t.TempDir(), newMemory()
	f := m.file("a.bin", pseudo(4, 1<<20), false)
	wrong := sha256.Sum256(pseudo(5, 1<<20))
	m.content["a.bin"] = pseudo(5, 1<<20)
	s := stageAt(t, models, Generation{1, 1})
	fetch := NewFetch(s, []File{f}, options(m))
	err := fetch.Run(t.Context())
	require.ErrorIs(t, err, errWrongHash)
	require.ErrorContains(t, err, f.Hash)
	require.ErrorContains(t, err, hex.EncodeToString(wrong[:]))
	require.Equal(t, 2, m.opened)
	changed, _, _, _ := fetch.Changes(10)
	require.Equal(t, Failed, changed[0].Status)
}

func TestAWrongHashThatIsRightTheSecondTimeSucceeds(t *testing.T) {
	t.Parallel()
	models, m := t.TempDir(), newMemory()
	right := pseudo(6, 1<<20)
	f := m.file("a.bin", right, false)
	m.content["a.bin"] = pseudo(7, 1<<20)
	m.before = func(File, int64, int64, string) error {
		if m.opened == 2 {
			m.content["a.bin"] = right
		}
		return nil
	}
	s := stageAt(t, models, Generation{1, 1})
	require.NoError(t, NewFetch(s, []File{f}, options(m)).Run(t.Context()))
	require.NoError(t, s.Place("o/m", "c", nil))
	placed(t, models, m, f)
}

func TestAServerWithoutRangesSendsTheWholeFileInOneStream(t *testing.T) {
	t.Parallel()
	models, m := t.TempDir(), newMemory()
	f := m.file("a.bin", pseudo(8, 20<<20), false)
	m.whole = true
	s := stageAt(t, models, Generation{1, 1})
	require.NoError(t, NewFetch(s, []File{f}, options(m)).Run(t.Context()))
	require.NoError(t, s.Place("o/m", "c", nil))
	placed(t, models, m, f)
}

func TestContentThatChangedUnderAnETagIsBegunAnewOnce(t *testing.T) {
	t.Parallel()
	models, m := t.TempDir(), newMemory()
	f := m.file("a.bin", pseudo(9, 20<<20), false)
	m.etag = `"one"`
	replaced := 0
	m.before = func(_ File, _, _ int64, etag string) error {
		if etag != "" && replaced == 0 {
			replaced++
			return &fault{replaced: true}
		}
		return nil
	}
	m.cut = 1 << 20
	s := stageAt(t, models, Generation{1, 1})
	require.NoError(t, NewFetch(s, []File{f}, options(m)).Run(t.Context()))
	require.Equal(t, 1, replaced)
	require.NoError(t, s.Place("o/m", "c", nil))
	placed(t, models, m, f)
}

func TestTriesCountOnlyWhileNothingComes(t *testing.T) {
	t.Parallel()
	m := newMemory()
	f := m.file("a.bin", pseudo(10, 2<<20), false)
	m.cut = 100 << 10 // 21 answers, each but the last cut
	s := stageAt(t, t.TempDir(), Generation{1, 1})
	o := options(m)
	o.Tries = 3
	require.NoError(t, NewFetch(s, []File{f}, o).Run(t.Context()))

	dead := newMemory()
	g := dead.file("b.bin", pseudo(11, 1<<20), false)
	dead.before = func(File, int64, int64, string) error { return &fault{temporary: true} }
	s = stageAt(t, t.TempDir(), Generation{1, 1})
	o = options(dead)
	o.Tries = 3
	err := NewFetch(s, []File{g}, o).Run(t.Context())
	require.ErrorAs(t, err, new(*fault))
	require.Equal(t, 3, dead.opened)
}

func TestAStageThatSomebodyHoldsIsCopiedAndItsHolderChangesNothing(t *testing.T) {
	t.Parallel()
	models, m := t.TempDir(), newMemory()
	files := []File{m.file("a.bin", pseudo(12, 20<<20), false), m.file("small", []byte("x"), true)}
	frozen := stageAt(t, models, Generation{1, 1})
	m.gate = make(chan struct{})
	old := NewFetch(frozen, files, options(m))
	ctx, thaw := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- old.Run(ctx) }()
	for range 40 {
		m.gate <- struct{}{} // the old attempt gets somewhere, then stands still
	}
	fresh := stageAt(t, models, Generation{1, 2})
	require.True(t, fresh.Copied)
	other := newMemory()
	other.content = m.content
	next := NewFetch(fresh, files, options(other))
	require.NoError(t, next.Run(t.Context()))
	require.Less(t, other.served, int64(20<<20), "what was there came along")

	close(m.gate) // it wakes up and goes on writing
	err := <-ended
	require.Error(t, err, "its paths are gone")
	thaw()
	require.Error(t, frozen.Place("o/m", "c", nil))
	require.NoDirExists(t, filepath.Join(models, "o--m"))
	require.NoError(t, fresh.Place("o/m", "c", nil))
	placed(t, models, m, files...)
	require.NoDirExists(t, filepath.Join(models, stagesDir, "o--m"))
}

func TestAnEarlierGenerationDoesNotTakeALaterStage(t *testing.T) {
	t.Parallel()
	models := t.TempDir()
	s := stageAt(t, models, Generation{2, 1})
	_, err := OpenStage(t.Context(), models, "o--m", Generation{1, 9}, 0)
	require.ErrorIs(t, err, ErrSuperseded)
	s.Close()
	s, err = OpenStage(t.Context(), models, "o--m", Generation{1, 9}, 0)
	require.NoError(t, err, "nobody is there any more")
	s.Close()
}

func TestAnUpdateTakesWhatDidNotChangeAndReplacesTheRest(t *testing.T) {
	t.Parallel()
	models, m := t.TempDir(), newMemory()
	keep, old := m.file("keep.bin", pseudo(13, 1<<20), false), m.file("gone.txt", []byte("old"), true)
	s := stageAt(t, models, Generation{1, 1})
	require.NoError(t, NewFetch(s, []File{keep, old}, options(m)).Run(t.Context()))
	require.NoError(t, s.Place("o/m", "one", nil))
	s.Close()
	served := m.served

	fresh := m.file("new.txt", []byte("new"), true)
	s = stageAt(t, models, Generation{2, 1})
	require.NoError(t, s.Reuse(t.Context(), "two", []File{keep, fresh}))
	require.NoError(t, NewFetch(s, []File{keep, fresh}, options(m)).Run(t.Context()))
	require.Equal(t, served+3, m.served)
	require.NoError(t, s.Place("o/m", "two", nil))
	placed(t, models, m, keep, fresh)
	require.NoFileExists(t, filepath.Join(models, "o--m", "gone.txt"), "another commit's files do not stay")

	s = stageAt(t, models, Generation{3, 1})
	more := m.file("more.txt", []byte("more"), true)
	require.NoError(t, s.Reuse(t.Context(), "two", []File{more}))
	require.NoError(t, NewFetch(s, []File{more}, options(m)).Run(t.Context()))
	require.NoError(t, s.Place("o/m", "two", nil))
	placed(t, models, m, keep, fresh, more)
	manifest, err := ReadManifest(models, "o--m")
	require.NoError(t, err)
	require.Len(t, manifest.Files, 3, "the same commit's files stay")
}

func TestAFileThatSomebodyTouchedIsNotReused(t *testing.T) {
	t.Parallel()
	models, m := t.TempDir(), newMemory()
	f := m.file("a.bin", pseudo(14, 1<<20), false)
	s := stageAt(t, models, Generation{1, 1})
	require.NoError(t, NewFetch(s, []File{f}, options(m)).Run(t.Context()))
	require.NoError(t, s.Place("o/m", "one", nil))
	s.Close()
	require.NoError(t, os.WriteFile(filepath.Join(models, "o--m", "a.bin"), pseudo(15, 1<<20), 0o600))
	s = stageAt(t, models, Generation{2, 1})
	require.NoError(t, s.Reuse(t.Context(), "one", []File{f}))
	require.False(t, s.has(f))
}

func TestAfterACrashOfTheMachineOnlyWhatASyncConfirmedCounts(t *testing.T) {
	t.Parallel()
	h := header{Version: journalVersion, Key: "k", Size: 20 << 20, Segment: segmentSize(20 << 20)}
	raw, err := h.encode()
	require.NoError(t, err)
	raw = append(raw, record{written: 8 << 20, synced: 5 << 20, boot: 1}.encode()...)
	torn := record{written: 4 << 20, synced: 4 << 20, boot: 1}.encode()
	torn[0]++
	raw = append(raw, torn...)
	_, same, err := parseJournal(raw, "k", 20<<20, 20<<20, 1)
	require.NoError(t, err)
	require.Equal(t, int64(8<<20), same[0].written)
	require.Zero(t, same[1].written, "a torn record counts as nothing")
	_, other, err := parseJournal(raw, "k", 20<<20, 20<<20, 2)
	require.NoError(t, err)
	require.Equal(t, int64(5<<20), other[0].written)
	_, short, err := parseJournal(raw, "k", 20<<20, 3<<20, 1)
	require.NoError(t, err)
	require.Equal(t, int64(3<<20), short[0].written, "never more than the part has")
}

func FuzzJournalNeverCountsMoreThanThePartHas(f *testing.F) {
	h := header{Version: journalVersion, Key: "k", Size: 20 << 20, Segment: segmentSize(20 << 20)}
	raw, err := h.encode()
	require.NoError(f, err)
	f.Add(append(raw, record{written: 100, synced: 50, boot: 7}.encode()...), int64(20<<20), int64(1000), uint64(7))
	f.Add([]byte("{}"), int64(5), int64(5), uint64(0))
	f.Fuzz(func(t *testing.T, raw []byte, size, partSize int64, boot uint64) {
		if size < 0 || partSize < 0 {
			return
		}
		h, records, err := parseJournal(raw, "k", size, partSize, boot)
		if err != nil {
			require.ErrorIs(t, err, errNoJournal)
			return
		}
		for i, r := range records {
			from, to := h.bounds(i)
			require.True(t, r.written >= 0 && r.written <= to-from && (r.written == 0 || from+r.written <= partSize))
			require.LessOrEqual(t, r.synced, r.written)
		}
	})
}

func TestAFullDiskIsToldFromOtherErrors(t *testing.T) {
	t.Parallel()
	require.False(t, NoSpace(errors.New("x")))
	space, err := SpaceAt(t.TempDir())
	require.NoError(t, err)
	require.Positive(t, space.Free)
	require.GreaterOrEqual(t, space.Total, space.Free)
}
