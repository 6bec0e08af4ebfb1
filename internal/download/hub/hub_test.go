package hub

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/hubtest"
)

func hubWith(t *testing.T, repos ...*hubtest.Repo) (*hubtest.Hub, *Client) {
	t.Helper()
	h := hubtest.New(repos...)
	t.Cleanup(h.Close)
	return h, clientOf(t, h.URL)
}

func clientOf(t *testing.T, endpoint string) *Client {
	t.Helper()
	c, err := New(Options{Endpoint: endpoint, UserAgent: "test", Now: time.Now, Head: 5 * time.Second, Stall: 300 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func small() *hubtest.Repo {
	return &hubtest.Repo{ID: "o/m", Files: []hubtest.File{
		{Path: "config.json", Content: []byte(`{"a":1}`)}, {Path: "sub dir/ünï#?.bin", LFS: true, Size: 300 << 10, Seed: 1},
	}}
}

func kindOf(t *testing.T, err error) Kind {
	t.Helper()
	require.NotNil(t, As(err), "%v", err)
	return As(err).Kind
}

func TestARevisionIsACommitAndItsFilesHaveTheirPublishedHashes(t *testing.T) {
	t.Parallel()
	repo := small()
	h, c := hubWith(t, repo)
	h.Page(1)
	r, err := c.Resolve(t.Context(), "", "o/m", "main")
	require.NoError(t, err)
	require.Equal(t, Revision{RepoID: "o/m", Commit: hubtest.Commit}, r)
	files, err := c.Tree(t.Context(), "", "o/m", r.Commit, 10)
	require.NoError(t, err)
	require.Len(t, files, 2, "over two pages")
	require.Equal(t, File{Path: "config.json", Size: 7, HashKind: GitSHA1, Hash: repo.Files[0].Hash()}, files[0])
	require.Equal(t, File{Path: "sub dir/ünï#?.bin", Size: 300 << 10, HashKind: SHA256, Hash: repo.Files[1].Hash()}, files[1])
	_, err = c.Tree(t.Context(), "", "o/m", r.Commit, 1)
	require.Equal(t, TooMany, kindOf(t, err))
}

func TestPartsComeFromTheDeliveryNetworkWhichNeverSeesTheToken(t *testing.T) {
	t.Parallel()
	repo := small()
	repo.Private, repo.Token = true, "secret"
	h, c := hubWith(t, repo)
	f := File{Path: "sub dir/ünï#?.bin", Size: 300 << 10, HashKind: SHA256, Hash: repo.Files[1].Hash()}
	content, err := c.Open(t.Context(), "secret", Want{Repo: "o/m", Commit: hubtest.Commit, File: f, From: 100, To: 5000})
	require.NoError(t, err)
	got, err := io.ReadAll(content)
	require.NoError(t, err)
	require.NoError(t, content.Close())
	want, err := io.ReadAll(repo.Files[1].Reader())
	require.NoError(t, err)
	require.Equal(t, want[100:5000], got)
	require.Equal(t, `"cdn-sub dir/ünï#?.bin"`, content.ETag)

	var network, own int
	for _, r := range h.Requests() {
		if r.CDN {
			network++
			require.Empty(t, r.Authorization)
			require.Equal(t, "bytes=100-4999", r.Range)
		} else {
			own++
			require.Equal(t, "Bearer secret", r.Authorization)
		}
	}
	require.Equal(t, 1, network)
	require.Equal(t, 1, own)
}

func TestRedirectsNeverTakeTheTokenToAnotherOrigin(t *testing.T) {
	t.Parallel()
	base, err := url.Parse("https://hub.test")
	require.NoError(t, err)
	c := &Client{base: base}
	for address, trusted := range map[string]bool{
		"https://hub.test/x": true, "https://HUB.test:443/x": true, "http://hub.test/x": false, "https://hub.test:8443/x": false,
		"https://cdn.hub.test/x": false, "https://hub.test.evil/x": false, "https://hub.test@evil/x": false,
	} {
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.Equal(t, trusted, c.trusted(u), address)
	}
	to, err := url.Parse("http://hub.test/x")
	require.NoError(t, err)
	require.Error(t, followable(base, to), "not from https to http")
	to, err = url.Parse("file:///etc/passwd")
	require.NoError(t, err)
	require.Error(t, followable(base, to))
}

func TestAnExtraHopBackToTheHubIsStillFollowedButALoopIsNot(t *testing.T) {
	t.Parallel()
	hops := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hops++
		if strings.Contains(r.URL.Path, "old") {
			http.Redirect(w, r, strings.ReplaceAll(r.URL.Path, "old", "new"), http.StatusTemporaryRedirect)
			return
		}
		if strings.Contains(r.URL.Path, "loop") {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return
		}
		fmt.Fprintf(w, `{"id":"o/new","sha":"%s"}`, hubtest.Commit)
	}))
	defer s.Close()
	c := clientOf(t, s.URL)
	r, err := c.Resolve(t.Context(), "", "o/old", "main")
	require.NoError(t, err)
	require.Equal(t, "o/new", r.RepoID, "a model that was renamed")
	_, err = c.Resolve(t.Context(), "", "o/loop", "main")
	require.Equal(t, BadAnswer, kindOf(t, err))
	require.Equal(t, 2+maxRedirects, hops)
}

func TestRefusalsSayWhatTheyMeanAndWhatToDo(t *testing.T) {
	t.Parallel()
	gated, private := small(), small()
	gated.ID, gated.Gated, gated.Token = "o/gated", true, "good"
	private.ID, private.Private, private.Token = "o/private", true, "good"
	h, c := hubWith(t, small(), gated, private)
	open := func(repo, token, path string) error {
		_, err := c.Open(t.Context(), token, Want{Repo: repo, Commit: hubtest.Commit, File: File{Path: path, Size: 7, HashKind: GitSHA1}, To: 7})
		return err
	}
	resolve := func(repo, token, revision string) error {
		_, err := c.Resolve(t.Context(), token, repo, revision)
		return err
	}
	for name, want := range map[string]struct {
		err  error
		kind Kind
		says string
	}{
		"no such model":      {resolve("o/none", "", "main"), NoRepo, "give a token"},
		"none for the token": {resolve("o/none", "good", "main"), NoRepo, "whose token"},
		"private":            {resolve("o/private", "other", "main"), NoRepo, "whose token"},
		"wrong token":        {resolve("o/m", "wrong", "main"), Unauthorized, "HF_TOKEN"},
		"no such revision":   {resolve("o/m", "", "v9"), NoRevision, `"v9"`},
		"gated, no token":    {open("o/gated", "", "config.json"), Gated, "Ask for access"},
		"gated, not let in":  {open("o/gated", "other", "config.json"), Gated, "Accept the terms"},
		"no such file":       {open("o/m", "", "none"), NoFile, `"none"`},
	} {
		require.Equal(t, want.kind, kindOf(t, want.err), name)
		require.ErrorContains(t, want.err, want.says, name)
		require.False(t, As(want.err).Temporary(), name)
	}
	status, header := 0, http.Header{}
	h.Hook(func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
		maps.Copy(w.Header(), header)
		hubtest.Refuse(w, status, "", "")
		return true
	})
	status, header = 429, http.Header{"Retry-After": {"7"}}
	err := resolve("o/m", "", "main")
	require.Equal(t, RateLimited, kindOf(t, err))
	require.Equal(t, 7*time.Second, As(err).After)
	status, header = 429, http.Header{"Ratelimit": {`"api";r=0;t=55`}}
	require.Equal(t, 56*time.Second, As(resolve("o/m", "", "main")).After)
	status, header = 503, http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}}
	err = resolve("o/m", "", "main")
	require.True(t, As(err).Temporary())
	require.Equal(t, maxWait, As(err).After, "bounded")
	status = 403
	require.Equal(t, Forbidden, kindOf(t, resolve("o/m", "x", "main")))
	status = 418
	require.Equal(t, BadAnswer, kindOf(t, resolve("o/m", "x", "main")))
}

func TestAFileThatIsNotWhatTheTreeSaidIsNoticed(t *testing.T) {
	t.Parallel()
	repo := small()
	h, c := hubWith(t, repo)
	f := File{Path: "config.json", Size: 7, HashKind: GitSHA1, Hash: repo.Files[0].Hash()}
	want := Want{Repo: "o/m", Commit: hubtest.Commit, File: f, To: 7}
	wrong := want
	wrong.File.Hash = strings.Repeat("0", 40)
	_, err := c.Open(t.Context(), "", wrong)
	require.Equal(t, Changed, kindOf(t, err))
	require.True(t, As(err).Replaced())

	longer := want
	longer.File.Size, longer.To = 9, 9
	_, err = c.Open(t.Context(), "", longer)
	require.Equal(t, Changed, kindOf(t, err))

	part := want
	part.From, part.ETag = 3, `"another"`
	_, err = c.Open(t.Context(), "", part)
	require.Equal(t, Changed, kindOf(t, err), "If-Range: the whole came")

	h.NoRanges()
	part.ETag = ""
	_, err = c.Open(t.Context(), "", part)
	require.Equal(t, NoRanges, kindOf(t, err))
	require.True(t, As(err).WholeOnly())
}

func TestSilenceEndsAnAnswerAndABrokenConnectionIsTold(t *testing.T) {
	t.Parallel()
	repo := small()
	h, c := hubWith(t, repo)
	f := File{Path: repo.Files[1].Path, Size: 300 << 10, HashKind: SHA256, Hash: repo.Files[1].Hash()}
	want := Want{Repo: "o/m", Commit: hubtest.Commit, File: f, To: f.Size}
	h.Rate(1) // a chunk every few hours
	content, err := c.Open(t.Context(), "", want)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, content)
	require.Equal(t, Stalled, kindOf(t, err))
	require.True(t, As(err).Temporary())
	require.NoError(t, content.Close())

	h.Rate(0)
	h.Cut(64 << 10)
	content, err = c.Open(t.Context(), "", want)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, content)
	require.Equal(t, Unreachable, kindOf(t, err))
	require.NoError(t, content.Close())

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrNoProgress)
	_, err = c.Open(ctx, "", want)
	require.ErrorIs(t, err, io.ErrNoProgress, "the caller's wish stays what it is")
}

func TestAListThatGoesOnElsewhereIsNotFollowed(t *testing.T) {
	t.Parallel()
	h, c := hubWith(t, small())
	h.Hook(func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
		w.Header().Set("Link", `<http://evil.test/next>; rel="next"`)
		_, _ = io.WriteString(w, `[]`)
		return true
	})
	_, err := c.Tree(t.Context(), "secret", "o/m", hubtest.Commit, 10)
	require.Equal(t, BadAnswer, kindOf(t, err))
	require.Len(t, h.Requests(), 1)
}

func TestNextPageIsFoundAmongLinks(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		`<a>; rel="next"`: "a", `<a>; rel="prev", <b>; rel="next"`: "b", `<a>; rel="prev"`: "", `<a>;title="rel=next";rel=last`: "",
		`<a?x=1,2>; rel=next`: "a?x=1,2", `<a`: "", ``: "", `<a>; rel="first next"`: "a", `<a>; REL="NEXT"`: "a",
	} {
		require.Equal(t, want, nextPage([]string{header}), header)
	}
}

func FuzzAnswersNeverPanicAndNeverGiveAFileThatCannotBeVerified(f *testing.F) {
	f.Add([]byte(`[{"type":"file","oid":"0123456789abcdef0123456789abcdef01234567","size":1,"path":"a"}]`), `<a>; rel="next"`, "5")
	f.Add([]byte(`[{"type":"file","size":-1,"lfs":{"oid":"x"}}]`), `<>;<<`, "Wed, 21 Oct 2015 07:28:00 GMT")
	f.Fuzz(func(t *testing.T, raw []byte, link, after string) {
		files, err := parseTree(raw)
		if err == nil {
			for _, file := range files {
				require.True(t, ValidHash(file.HashKind, file.Hash) && file.Size >= 0)
			}
		}
		_, _ = parseRevision(raw, "o/m")
		_ = nextPage([]string{link})
		d := retryAfter(http.Header{"Retry-After": {after}, "Ratelimit": {link}}, time.Unix(0, 0))
		require.True(t, d >= 0 && d <= maxWait)
		_ = checkRange(link, Want{File: File{Size: 10}, To: 10})
		_ = sameFile(http.Header{"Etag": {after}, "X-Linked-Etag": {link}}, Want{File: File{HashKind: SHA256}})
	})
}
