package serving

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRunDirIsRemovedOnlyWhenNobodyUsesIt(t *testing.T) {
	t.Parallel()
	long := time.Now().Add(-2 * time.Minute)
	folder := func() string {
		dir := filepath.Join(t.TempDir(), "llmctl-serve-1")
		require.NoError(t, os.Mkdir(dir, 0o700))
		return dir
	}
	fresh, used, left := folder(), folder(), folder()
	first, err := OpenRunDir(used)
	require.NoError(t, err)
	second, err := OpenRunDir(used) // a new master beside the old one
	require.NoError(t, err)
	for _, dir := range []string{used, left} {
		require.NoError(t, os.Chtimes(dir, long, long))
	}
	for _, dir := range []string{fresh, used, left} {
		removeUnused(dir)
	}
	require.DirExists(t, fresh)
	require.DirExists(t, used)
	require.NoDirExists(t, left)

	first.Close(false)
	removeUnused(used)
	require.DirExists(t, used, "the new master still uses it")
	second.Close(false)
	removeUnused(used)
	require.NoDirExists(t, used)
}

func TestForwarderAnswersForWorkersThatAreGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, other := newName(), newName()
	f := NewForwarder(dir, own, "/sessions/")
	ask := func(sid string) (bool, *httptest.ResponseRecorder) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/socket.io/?sid="+sid, nil)
		return f.Forward(w, r, sid), w
	}
	for _, sid := range []string{own + ".X", "X", "../../etc." + other, other + ".X"} {
		forwarded, _ := ask(sid)
		require.False(t, forwarded, "%s is no session of a worker that is here", sid)
	}
	// A worker that was killed leaves its socket behind.
	l, err := listenPrivate(dir, other)
	require.NoError(t, err)
	l.close(false)
	forwarded, w := ask(other + ".X")
	require.True(t, forwarded)
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.JSONEq(t, `{"code":1,"message":"Session ID unknown"}`, w.Body.String(), "the client makes a new session at once")
}
