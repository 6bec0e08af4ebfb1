package drive_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/fetch/drive"
	"github.com/llmctl/studio/internal/testkit/drivetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type rig struct {
	*drivetest.Server
	t *testing.T
}

func setup(t *testing.T) *rig {
	t.Helper()
	return &rig{drivetest.New(t), t}
}

func client(t *testing.T, allow ...string) *http.Client {
	t.Helper()
	a, err := egress.New(allow)
	require.NoError(t, err)
	transport := &http.Transport{DialContext: a.Dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (r *rig) options() drive.Options {
	return drive.Options{
		FolderID: "root", Endpoint: r.URL, Account: r.Account(r.t), Filter: fetch.NewFilter(fetch.Selection{MaxFileBytes: 1000}),
		Client: client(r.t, "127.0.0.0/8"), Pause: time.Millisecond,
	}
}

func (r *rig) sync(o drive.Options) fetch.Tree {
	r.t.Helper()
	f, err := drive.New(o)
	require.NoError(r.t, err)
	tree, err := f.Sync(r.t.Context(), nil)
	require.NoError(r.t, err)
	return tree
}

func (r *rig) fails(o drive.Options, change ...func(*drive.Fetcher)) *errs.Error {
	r.t.Helper()
	f, err := drive.New(o)
	for _, c := range change {
		c(f)
	}
	if err == nil {
		_, err = f.Sync(r.t.Context(), nil)
	}
	require.Error(r.t, err)
	require.NotContains(r.t, err.Error(), "PRIVATE KEY")
	return errs.As(err)
}

func walk(t *testing.T, tree fetch.Tree) (items []fetch.Item, skipped fetch.Skipped) {
	t.Helper()
	skipped, err := tree.Walk(t.Context(), func(i fetch.Item) error { items = append(items, i); return nil })
	require.NoError(t, err)
	return items, skipped
}

func texts(t *testing.T, tree fetch.Tree) map[string]string {
	t.Helper()
	out := map[string]string{}
	items, _ := walk(t, tree)
	for _, i := range items {
		text, err := read(t, tree, i, 1000)
		require.NoError(t, err)
		out[i.Path] = text
	}
	return out
}

func read(t *testing.T, tree fetch.Tree, i fetch.Item, limit int64) (string, error) {
	t.Helper()
	file, err := tree.Open(t.Context(), i, limit)
	if err != nil {
		return "", err
	}
	defer func() { require.NoError(t, file.Close()) }()
	text, err := io.ReadAll(file)
	return string(text), err
}

func TestFoldersAreReadPageByPageAndDocumentsExported(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.PageSize(2)
	r.Put(
		drivetest.File{ID: "a", Name: "a.md", Type: "text/markdown", Parent: "root", Text: "A"},
		drivetest.File{ID: "sub", Name: "Sub folder", Type: drivetest.Folder, Parent: "root"},
		drivetest.File{ID: "b", Name: "b.txt", Type: "text/plain", Parent: "sub", Text: "B"},
		drivetest.File{ID: "deep", Name: "deep", Type: drivetest.Folder, Parent: "sub"},
		drivetest.File{ID: "c", Name: "c.txt", Type: "text/plain", Parent: "deep", Text: "C"},
		drivetest.File{ID: "d", Name: "Plan", Type: drivetest.Document, Parent: "root", Text: "doc"},
		drivetest.File{ID: "s", Name: "Sums", Type: drivetest.Spreadsheet, Parent: "root", Text: "sheet"},
		drivetest.File{ID: "p", Name: "Talk", Type: drivetest.Presentation, Parent: "root", Text: "slides"},
		drivetest.File{ID: "f", Name: "Form", Type: drivetest.Form, Parent: "root"},
		drivetest.File{ID: "l", Name: "Link", Type: drivetest.Shortcut, Parent: "root"},
		drivetest.File{ID: "i", Name: "x.png", Type: "image/png", Parent: "root", Text: "png"},
		drivetest.File{ID: "n", Name: "node_modules", Type: drivetest.Folder, Parent: "root"},
		drivetest.File{ID: "big", Name: "big.txt", Type: "text/plain", Parent: "root", Text: strings.Repeat("x", 1001)},
		drivetest.File{ID: "other", Name: "other.txt", Type: "text/plain", Parent: "elsewhere", Text: "not here"},
	)
	tree := r.sync(r.options())
	const office = " as application/vnd.openxmlformats-officedocument."
	require.Equal(t, map[string]string{
		"a.md": "A", "Sub folder/b.txt": "B", "Sub folder/deep/c.txt": "C", "Plan.docx": "doc" + office + "wordprocessingml.document",
		"Sums.xlsx": "sheet" + office + "spreadsheetml.sheet", "Talk.pptx": "slides" + office + "presentationml.presentation",
	}, texts(t, tree))
	items, skipped := walk(t, tree)
	require.Equal(t, fetch.Skipped{Excluded: 2, Binary: 2, TooLarge: 1}, skipped)
	require.Equal(t, "Plan.docx", items[0].Path, "in the order of paths")
	require.True(t, items[0].ModifiedAt.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
}

func TestWhatIsListedInPartIsTold(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.Put(
		drivetest.File{ID: "a", Name: "a.md", Type: "text/markdown", Parent: "root", Text: "A"},
		drivetest.File{ID: "sub", Name: "Closed", Type: drivetest.Folder, Parent: "root", Closed: true},
		drivetest.File{ID: "b", Name: "b.txt", Type: "text/plain", Parent: "sub", Text: "B"},
	)
	items, skipped := walk(t, r.sync(r.options()))
	require.Len(t, items, 1)
	require.Equal(t, []fetch.Unlisted{{Path: "Closed/", Reason: "the service account may not list it"}}, skipped.Unlisted)
	require.Equal(t, 1, skipped.Unreadable)

	r.Partly(true)
	_, skipped = walk(t, r.sync(r.options()))
	require.Contains(t, skipped.Unlisted, fetch.Unlisted{Path: fetch.Everything, Reason: "Google has not searched all of it"})
	require.True(t, skipped.Unlisted[0].Folder())
}

func TestFingerprintsFollowContentAndOfDocumentsTheTime(t *testing.T) {
	t.Parallel()
	r := setup(t)
	doc := drivetest.File{ID: "d", Name: "Plan", Type: drivetest.Document, Parent: "root", Text: "doc"}
	file := drivetest.File{ID: "a", Name: "a.md", Type: "text/markdown", Parent: "root", Text: "A"}
	prints := func(files ...drivetest.File) map[string]string {
		r.Put(files...)
		items, _ := walk(t, r.sync(r.options()))
		out := map[string]string{}
		for _, i := range items {
			out[i.Path] = i.Fingerprint
		}
		return out
	}
	first := prints(doc, file)
	doc.Modified, file.Modified = time.Now(), time.Now()
	second := prints(doc, file)
	require.Equal(t, first["a.md"], second["a.md"], "what was touched is not what was changed")
	require.NotEqual(t, first["Plan.docx"], second["Plan.docx"])
	file.Text = "B"
	require.NotEqual(t, first["a.md"], prints(file)["a.md"])
}

func TestNamesBecomePathsOfTheirOwn(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for i, name := range []string{"same.md", "same.md", "same.md", "a/b.md", "..", "", "tab\there", "Same.md"} {
		r.Put(drivetest.File{ID: fmt.Sprint("f", 9-i), Name: name, Type: "text/plain", Parent: "root", Text: fmt.Sprint(i), Created: time.Unix(int64(i), 0).UTC()})
	}
	got := texts(t, r.sync(r.options()))
	require.Equal(t, map[string]string{
		"same.md": "0", "same (2).md": "1", "same (3).md": "2", "a_b.md": "3", "_..": "4", "_": "5", "tab_here": "6", "Same.md": "7",
	}, got)
}

func TestBusyAndBrokenServersAreAskedAgain(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.Put(drivetest.File{ID: "a", Name: "a.md", Type: "text/markdown", Parent: "root", Text: "A"})
	r.Fail(
		drivetest.Failure{Match: "files?", Status: 429, Reason: "rateLimitExceeded", RetryAfter: "0"},
		drivetest.Failure{Match: "files?", Status: 403, Reason: "userRateLimitExceeded"},
		drivetest.Failure{Match: "files?", Status: 503, Reason: "backendError"},
		drivetest.Failure{Match: "alt=media", Status: 500, Reason: "internalError"},
		drivetest.Failure{Match: "alt=media", Hangup: true},
		drivetest.Failure{Match: "/token", Status: 503},
	)
	require.Equal(t, map[string]string{"a.md": "A"}, texts(t, r.sync(r.options())))
	lists := 0
	for _, c := range r.Calls() {
		if strings.Contains(c, "files?") {
			lists++
		}
	}
	require.Equal(t, 4, lists)
}

func TestServerThatStaysBusyIsGivenUp(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for range 20 {
		r.Fail(drivetest.Failure{Match: "files?", Status: 429, Reason: "rateLimitExceeded", RetryAfter: "0"})
	}
	require.Equal(t, "rag.drive_rate_limited", r.fails(r.options()).Reason)
	require.Len(t, r.Calls(), 8, "the folder, and seven tries")
}

func TestWhatRefusesIsExplained(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.Put(drivetest.File{ID: "a", Name: "a.md", Type: "text/markdown", Parent: "root", Text: "A"})
	o := r.options()
	o.FolderID = "gone"
	e := r.fails(o)
	require.Equal(t, "rag.drive_not_found", e.Reason)
	require.Contains(t, e.Message, "indexer@project.iam.gserviceaccount.com")
	o.FolderID = "a"
	require.Equal(t, "rag.drive_no_folder", r.fails(o).Reason)
	o = r.options()
	o.Account = ""
	require.Equal(t, "rag.drive_no_account", r.fails(o).Reason)
	o = r.options()
	o.Client = client(t)
	require.Equal(t, "rag.address_refused", r.fails(o).Reason)
	r.Fail(drivetest.Failure{Match: "files/root", Status: 403, Reason: "accessNotConfigured"})
	require.Equal(t, "rag.drive_refused", r.fails(r.options()).Reason)
	r.Revoke()
	e = r.fails(r.options())
	require.Equal(t, "rag.drive_refused", e.Reason)
	require.Contains(t, e.Message, "invalid_grant")
}

func TestFilesThatGoAwayOrAreTooLargeAreErrorsOfTheirOwn(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.Put(
		drivetest.File{ID: "a", Name: "a.md", Type: "text/markdown", Parent: "root", Text: "A"},
		drivetest.File{ID: "d", Name: "Plan", Type: drivetest.Document, Parent: "root", Text: strings.Repeat("x", 500)},
	)
	tree := r.sync(r.options())
	items, _ := walk(t, tree)
	_, err := read(t, tree, items[0], 100)
	require.True(t, errs.Is(err, errs.TooLarge), "an export is measured while it is read: %v", err)
	r.Remove("a")
	_, err = read(t, tree, items[1], 100)
	require.True(t, errs.HasReason(err, "rag.file_gone"), "%v", err)
	_, err = read(t, tree, fetch.Item{Path: "never"}, 100)
	require.True(t, errs.HasReason(err, "rag.file_gone"))
}

func TestCheckNamesTheFolder(t *testing.T) {
	t.Parallel()
	r := setup(t)
	f, err := drive.New(r.options())
	require.NoError(t, err)
	report, err := f.Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, `The folder "Root" can be read by indexer@project.iam.gserviceaccount.com.`, report.Message)
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	_, err = f.Check(gone)
	require.ErrorContains(t, err, "over")
}

func TestAccountsFoldersAndEndpointsAreChecked(t *testing.T) {
	t.Parallel()
	account := drivetest.New(t).Account(t)
	require.Empty(t, drive.CheckAccount(account))
	for _, bad := range []string{
		"", "x", "{}", `{"type":"authorized_user"}`, strings.Replace(account, "MII", "XXX", 1),
		strings.Replace(account, "http://127.0.0.1", "http://10.0.0.1", 1), account + "x",
	} {
		require.NotEmpty(t, drive.CheckAccount(bad), bad)
	}
	for _, good := range []string{"", "https://www.googleapis.com", "http://127.0.0.1:8080", "http://localhost:1"} {
		require.Empty(t, drive.CheckEndpoint(good), good)
	}
	for _, bad := range []string{"http://example.org", "ftp://x", "https://u:p@x", "https://x?y", "x"} {
		require.NotEmpty(t, drive.CheckEndpoint(bad), bad)
	}
	require.Empty(t, drive.CheckFolder("1AbC_d-9"))
	for _, bad := range []string{"", "a/b", "a' or '1", "https://drive.google.com/x"} {
		require.NotEmpty(t, drive.CheckFolder(bad), bad)
	}
}

// instead answers calls that have some text in them itself.
type instead struct {
	http.RoundTripper
	match  string
	status int
	body   func() io.Reader
	calls  atomic.Int64
	read   atomic.Int64 // bytes of answers that were taken
}

func (i *instead) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.Contains(req.URL.RequestURI(), i.match) {
		return i.RoundTripper.RoundTrip(req)
	}
	i.calls.Add(1)
	counted := readerFunc(i.body().Read)
	return &http.Response{
		StatusCode: i.status, Header: http.Header{"Content-Type": {"application/json"}}, Request: req, ContentLength: -1,
		Body: io.NopCloser(readerFunc(func(p []byte) (int, error) {
			n, err := counted(p)
			i.read.Add(int64(n))
			return n, err
		})),
	}, nil
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// endless is a text that goes on for ever.
func endless(begin string) func() io.Reader {
	return func() io.Reader {
		return io.MultiReader(strings.NewReader(begin), readerFunc(func(p []byte) (int, error) {
			for i := range p {
				p[i] = 'x'
			}
			return len(p), nil
		}))
	}
}

func (r *rig) answering(match string, status int, body func() io.Reader) (drive.Options, *instead) {
	o := r.options()
	i := &instead{RoundTripper: o.Client.Transport, match: match, status: status, body: body}
	o.Client = &http.Client{Transport: i}
	return o, i
}

func TestAnswersWithoutAnEndAreNotKept(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, c := range []struct {
		match, begin, reason string
		status               int
		most                 int64
	}{
		{"/files?", `{"files":[{"name":"`, "rag.drive_answer", http.StatusOK, 2 << 20},
		{"/files/root", `{"name":"`, "rag.drive_answer", http.StatusOK, 2 << 20},
		{"/files?", `{"error":{"message":"`, "rag.drive_refused", http.StatusForbidden, 2 << 20},
	} {
		o, i := r.answering(c.match, c.status, endless(c.begin))
		require.Equal(t, c.reason, r.fails(o, func(f *drive.Fetcher) { f.Hold(1000, 1000, 1<<20) }).Reason, c.match)
		require.Less(t, i.read.Load(), c.most)
		require.EqualValues(t, 1, i.calls.Load(), "it is not asked again")
	}
}

func TestListingsThatMakeNoSenseEnd(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, page := range []string{
		`{"files":[],"nextPageToken":"again"}`, `{"files":[{"id":"a' or '1","name":"a","parents":["root"]}]}`,
		`{"files":[{"id":"a","name":"a","mimeType":"` + strings.Repeat("x", 300) + `","parents":["root"]}]}`,
	} {
		o, _ := r.answering("/files?", http.StatusOK, func() io.Reader { return strings.NewReader(page) })
		require.Equal(t, "rag.drive_answer", r.fails(o).Reason, page)
	}
}

func TestFoldersWithMoreEntriesThanAnybodyHasAreGivenUpWhileTheyAreListed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	var token atomic.Int64
	one := `{"id":"s","name":"s","mimeType":"` + drivetest.Shortcut + `","parents":["root"]},`
	page := `{"files":[` + strings.TrimSuffix(strings.Repeat(one, 100), ",") + `],"nextPageToken":"`
	o, i := r.answering("/files?", http.StatusOK, func() io.Reader {
		return strings.NewReader(page + fmt.Sprint(token.Add(1)) + `"}`)
	})
	require.Equal(t, "rag.drive_too_many_files", r.fails(o, func(f *drive.Fetcher) { f.Hold(450, 1000, 1<<20) }).Reason)
	require.EqualValues(t, 5, i.calls.Swap(0))
	require.Equal(t, "rag.drive_too_many_files", r.fails(o, func(f *drive.Fetcher) { f.Hold(1<<20, 7, 1<<20) }).Reason)
	require.EqualValues(t, 7, i.calls.Load())
}

func TestLongNamesAreCut(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for i := range 3 {
		r.Put(drivetest.File{ID: fmt.Sprint("f", i), Name: strings.Repeat("ä", 400) + ".md", Type: "text/plain", Parent: "root", Text: "x"})
	}
	items, _ := walk(t, r.sync(r.options()))
	require.Len(t, items, 3)
	for _, item := range items {
		require.LessOrEqual(t, len(item.Path), 260)
		require.True(t, strings.HasSuffix(item.Path, ".md") && utf8.ValidString(item.Path), item.Path)
	}
}
