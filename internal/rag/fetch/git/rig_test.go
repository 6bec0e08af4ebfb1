package git_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/fetch/git"
	"github.com/llmctl/studio/internal/rag/fetch/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a folder with repositories and a data folder.
type rig struct {
	t     *testing.T
	base  string
	data  string
	roots local.Roots
	allow *egress.Allow
}

func setup(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, base: t.TempDir(), data: t.TempDir()}
	var err error
	r.roots, err = local.NewRoots([]string{r.base})
	require.NoError(t, err)
	r.allow, err = egress.New([]string{"127.0.0.0/8", "::1/128"})
	require.NoError(t, err)
	return r
}

// git runs git in a repository of the rig, as a person would.
func (r *rig) git(repo string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", append([]string{"-C", filepath.Join(r.base, repo)}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org",
		"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_ALLOW_PROTOCOL=file")
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, string(out))
	return strings.TrimSpace(string(out))
}

// mktree makes a tree of the lines that git ls-tree would show.
func (r *rig) mktree(repo, lines string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", "-C", filepath.Join(r.base, repo), "mktree")
	cmd.Stdin = strings.NewReader(lines)
	out, err := cmd.Output()
	require.NoError(r.t, err)
	return strings.TrimSpace(string(out))
}

// repo makes a repository with one commit.
func (r *rig) repo(name string, files map[string]string) {
	r.t.Helper()
	require.NoError(r.t, os.MkdirAll(filepath.Join(r.base, name), 0o750))
	r.git(name, "init", "-q", "-b", "main")
	r.commit(name, files)
}

// commit writes files ("": removes them) and gives the commit.
func (r *rig) commit(repo string, files map[string]string) string {
	r.t.Helper()
	for path, text := range files {
		full := filepath.Join(r.base, repo, path)
		require.NoError(r.t, os.MkdirAll(filepath.Dir(full), 0o750))
		if text == "" {
			require.NoError(r.t, os.Remove(full))
			continue
		}
		require.NoError(r.t, os.WriteFile(full, []byte(text), 0o600))
	}
	r.git(repo, "add", "-A")
	r.git(repo, "commit", "-q", "--allow-empty", "-m", "change")
	return r.git(repo, "rev-parse", "HEAD")
}

func (r *rig) fileURL(repo string) string { return "file://" + filepath.Join(r.base, repo) }

func (r *rig) options(url string) git.Options {
	return git.Options{
		DataDir: r.data, SourceID: 7, URL: url, Filter: fetch.NewFilter(fetch.Selection{}), Roots: r.roots, Resolver: r.allow,
	}
}

func (r *rig) fetcher(o git.Options) *git.Fetcher {
	r.t.Helper()
	f, err := git.New(o)
	require.NoError(r.t, err)
	return f
}

// sync synchronises and gives the tree with what was told.
func (r *rig) sync(o git.Options) (fetch.Tree, []string) {
	r.t.Helper()
	var told []string
	tree, err := r.fetcher(o).Sync(r.t.Context(), func(m string) { told = append(told, m) })
	require.NoError(r.t, err)
	r.t.Cleanup(func() { require.NoError(r.t, tree.Close()) })
	return tree, told
}

func (r *rig) fails(o git.Options) error {
	r.t.Helper()
	_, err := r.fetcher(o).Sync(r.t.Context(), nil)
	require.Error(r.t, err)
	return err
}

// texts are the files of a tree with what they contain.
func (r *rig) texts(tree fetch.Tree) map[string]string {
	r.t.Helper()
	out := map[string]string{}
	_, err := tree.Walk(r.t.Context(), func(i fetch.Item) error {
		file, err := tree.Open(r.t.Context(), i, 1<<20)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		text, err := io.ReadAll(file)
		out[i.Path] = string(text)
		return err
	})
	require.NoError(r.t, err)
	return out
}

func (r *rig) cache() string { return filepath.Join(git.Dir(r.data), "7.git") }

// web serves the rig's repositories over HTTP with git's own server.
type web struct {
	*httptest.Server
	token    atomic.Value // wanted; "": none
	requests atomic.Int64
	posts    atomic.Int64
	cut      atomic.Bool // ends answers of packs in their middle
	redirect atomic.Value
}

func (r *rig) web() *web {
	r.t.Helper()
	w := &web{}
	w.token.Store("")
	w.redirect.Store("")
	exe, err := exec.CommandContext(r.t.Context(), "git", "--exec-path").Output()
	require.NoError(r.t, err)
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(exe)), "git-http-backend"), Root: "/",
		Env: []string{
			"GIT_PROJECT_ROOT=" + r.base, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		},
	}
	w.Server = httptest.NewServer(http.HandlerFunc(func(res http.ResponseWriter, req *http.Request) {
		w.requests.Add(1)
		if to, _ := w.redirect.Load().(string); to != "" {
			http.Redirect(res, req, to+req.URL.Path+"?"+req.URL.RawQuery, http.StatusMovedPermanently)
			return
		}
		if want, _ := w.token.Load().(string); want != "" {
			if _, got, _ := req.BasicAuth(); got != want {
				res.Header().Set("WWW-Authenticate", `Basic realm="git"`)
				res.WriteHeader(http.StatusUnauthorized)
				return
			}
		}
		if req.Method == http.MethodPost {
			w.posts.Add(1)
			if w.cut.Load() {
				res = &cutting{ResponseWriter: res, left: 20_000}
			}
		}
		backend.ServeHTTP(res, req)
	}))
	r.t.Cleanup(w.Close)
	return w
}

// cutting ends the connection after some bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

func ctx(t *testing.T) context.Context { t.Helper(); return t.Context() }
