package hubtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Commit is the commit of every revision, unless a test sets another.
const Commit = "0123456789abcdef0123456789abcdef01234567"

// File is a file of a repository.
type File struct {
	Path    string
	Size    int64
	LFS     bool // large files come from the delivery network
	Seed    uint64
	Content []byte // nil: made from the seed, so that large ones need no memory
	// Published is the hash that the hub publishes, if it is not the right one.
	Published string
}

// Repo is a repository.
type Repo struct {
	ID        string
	Commit    string
	Revisions []string // names of the commit, beside itself
	Files     []File
	Gated     bool   // needs a token that was let in
	Private   bool   // needs any token
	Token     string // that was let in
}

// Request is what a server was asked.
type Request struct {
	CDN           bool
	Method, Path  string
	Range         string
	IfRange       string
	Authorization string
}

// Hub is a hub and its delivery network.
type Hub struct {
	URL, CDN string

	mu       sync.Mutex
	repos    map[string]*Repo
	requests []Request
	hook     func(w http.ResponseWriter, r *http.Request, cdn bool) bool
	page     int
	etag     func(path string) string

	sent    atomic.Int64 // bytes of files
	rate    atomic.Int64 // bytes per second over all transfers; 0: as fast as it goes
	cut     atomic.Int64 // bytes after which an answer breaks; 0: never
	noRange atomic.Bool
	pacer   pacer
	servers []*httptest.Server
}

// New starts a hub; Close ends it.
func New(repos ...*Repo) *Hub {
	h := &Hub{repos: map[string]*Repo{}, page: 1000, etag: func(path string) string { return `"cdn-` + path + `"` }}
	for _, r := range repos {
		if r.Commit == "" {
			r.Commit = Commit
		}
		if r.Revisions == nil {
			r.Revisions = []string{"main"}
		}
		for i := range r.Files {
			r.Files[i].published()
		}
		h.repos[r.ID] = r
	}
	hub, cdn := httptest.NewServer(http.HandlerFunc(h.hub)), httptest.NewServer(http.HandlerFunc(h.cdn))
	h.servers, h.URL, h.CDN = []*httptest.Server{hub, cdn}, hub.URL, cdn.URL
	return h
}

// Close ends both servers.
func (h *Hub) Close() {
	for _, s := range h.servers {
		s.CloseClientConnections()
		s.Close()
	}
}

// Sent is how many bytes of files were sent.
func (h *Hub) Sent() int64 { return h.sent.Load() }

// Rate limits all transfers together to bytes per second; 0: no limit.
func (h *Hub) Rate(perSecond int64) { h.rate.Store(perSecond) }

// Cut breaks every answer with a file's bytes after that many; 0: none.
func (h *Hub) Cut(after int64) { h.cut.Store(after) }

// NoRanges has the servers ignore Range.
func (h *Hub) NoRanges() { h.noRange.Store(true) }

// Page sets how many entries a page of a tree has.
func (h *Hub) Page(n int) { h.set(func() { h.page = n }) }

// ETags has the delivery network name its files that way.
func (h *Hub) ETags(f func(path string) string) { h.set(func() { h.etag = f }) }

// Hook sees every request first; true: it has answered.
func (h *Hub) Hook(f func(w http.ResponseWriter, r *http.Request, cdn bool) bool) {
	h.set(func() { h.hook = f })
}

// Change changes a repository.
func (h *Hub) Change(id string, f func(r *Repo)) { h.set(func() { f(h.repos[id]) }) }

func (h *Hub) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// Requests are all that were made so far.
func (h *Hub) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.requests)
}

func (h *Hub) note(w http.ResponseWriter, r *http.Request, cdn bool) bool {
	h.mu.Lock()
	h.requests = append(h.requests, Request{
		CDN: cdn, Method: r.Method, Path: r.URL.Path, Range: r.Header.Get("Range"), IfRange: r.Header.Get("If-Range"), Authorization: r.Header.Get("Authorization"),
	})
	hook := h.hook
	h.mu.Unlock()
	return hook != nil && hook(w, r, cdn)
}

// Refuse answers as the hub refuses.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	if code != "" {
		w.Header().Set("X-Error-Code", code)
	}
	if message != "" {
		w.Header().Set("X-Error-Message", message)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	answer(w, map[string]string{"error": message})
}

// answer writes JSON; who does not read it to the end is the test's concern.
func answer(w http.ResponseWriter, v any) {
	if raw, err := json.Marshal(v); err == nil {
		_, _ = w.Write(raw)
	}
}

func (h *Hub) hub(w http.ResponseWriter, r *http.Request) {
	if h.note(w, r, false) {
		return
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	if rest, ok := strings.CutPrefix(path, "api/models/"); ok {
		h.api(w, r, rest)
		return
	}
	id, rest, ok := strings.Cut(path, "/resolve/")
	if !ok {
		Refuse(w, http.StatusNotFound, "", "Sorry, we can't find the page you are looking for.")
		return
	}
	revision, name, _ := strings.Cut(rest, "/")
	repo := h.enter(w, r, id, revision)
	if repo == nil {
		return
	}
	name, _ = url.PathUnescape(name)
	h.resolve(w, r, repo, name)
}

// enter finds a repository and refuses as the hub does.
func (h *Hub) enter(w http.ResponseWriter, r *http.Request, id, revision string) *Repo {
	h.mu.Lock()
	repo := h.repos[id]
	h.mu.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	revision, _ = url.PathUnescape(revision)
	switch {
	case token == "wrong":
		Refuse(w, http.StatusUnauthorized, "", "Invalid credentials in Authorization header")
	case repo == nil && token == "":
		Refuse(w, http.StatusUnauthorized, "RepoNotFound", "Repository not found")
	case repo == nil, repo.Private && token != repo.Token:
		Refuse(w, http.StatusNotFound, "RepoNotFound", "Repository not found")
	case repo.Gated && token != repo.Token && strings.Contains(r.URL.Path, "/resolve/"):
		status := http.StatusForbidden
		if token == "" {
			status = http.StatusUnauthorized
		}
		Refuse(w, status, "GatedRepo", "Access to model "+id+" is restricted. You must have access to it and be authenticated to access it.")
	case revision != repo.Commit && !slices.Contains(repo.Revisions, revision):
		Refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+revision)
	default:
		return repo
	}
	return nil
}

func (h *Hub) api(w http.ResponseWriter, r *http.Request, rest string) {
	id, revision, info := strings.Cut(rest, "/revision/")
	if !info {
		id, revision, _ = strings.Cut(rest, "/tree/")
	}
	repo := h.enter(w, r, id, revision)
	if repo == nil {
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if info {
		var gated any = false
		if repo.Gated {
			gated = "manual"
		}
		answer(w, map[string]any{"_id": "1", "id": repo.ID, "sha": repo.Commit, "private": repo.Private, "gated": gated, "siblings": []any{}})
		return
	}
	h.tree(w, r, repo)
}

func (h *Hub) tree(w http.ResponseWriter, r *http.Request, repo *Repo) {
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	h.mu.Lock()
	page, files := h.page, repo.Files
	h.mu.Unlock()
	to := min(from+page, len(files))
	if to < len(files) {
		next := *r.URL
		q := next.Query()
		q.Set("cursor", strconv.Itoa(to))
		next.RawQuery = q.Encode()
		w.Header().Set("Link", "<http://"+r.Host+next.String()+`>; rel="next"`)
	}
	out := []any{}
	for _, f := range files[from:to] {
		e := map[string]any{"type": "file", "oid": f.gitOID(), "size": f.size(), "path": f.Path}
		if f.LFS {
			e["lfs"] = map[string]any{"oid": f.published(), "size": f.size(), "pointerSize": 134}
			e["oid"] = hex.EncodeToString(make([]byte, 20))
		}
		out = append(out, e)
	}
	answer(w, out)
}

func (h *Hub) resolve(w http.ResponseWriter, r *http.Request, repo *Repo, name string) {
	f := repo.find(name)
	if f == nil {
		Refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	w.Header().Set("X-Repo-Commit", repo.Commit)
	w.Header().Set("Accept-Ranges", "bytes")
	if !f.LFS {
		w.Header().Set("ETag", `"`+f.published()+`"`)
		h.send(w, r, f)
		return
	}
	w.Header().Set("X-Linked-Etag", `"`+f.published()+`"`)
	w.Header().Set("X-Linked-Size", strconv.FormatInt(f.size(), 10))
	at := h.CDN + "/" + repo.ID + "/" + (&url.URL{Path: name}).EscapedPath() + "?signature=" + strconv.FormatInt(time.Now().UnixNano(), 36)
	w.Header().Set("Location", at)
	w.WriteHeader(http.StatusFound)
}

func (h *Hub) cdn(w http.ResponseWriter, r *http.Request) {
	if h.note(w, r, true) {
		return
	}
	if r.Header.Get("Authorization") != "" {
		http.Error(w, "only one auth mechanism allowed", http.StatusBadRequest)
		return
	}
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	var f *File
	if len(parts) == 3 {
		h.mu.Lock()
		if repo := h.repos[parts[0]+"/"+parts[1]]; repo != nil {
			f = repo.find(parts[2])
		}
		w.Header().Set("ETag", h.etag(parts[2]))
		h.mu.Unlock()
	}
	if f == nil {
		http.Error(w, "NoSuchKey", http.StatusNotFound)
		return
	}
	h.send(w, r, f)
}

func (h *Hub) send(w http.ResponseWriter, r *http.Request, f *File) {
	if h.noRange.Load() {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
		w.Header().Del("Accept-Ranges")
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(&meter{ResponseWriter: w, h: h, r: r}, r, "", time.Time{}, f.open())
}

// meter counts, slows down and cuts.
type meter struct {
	http.ResponseWriter
	h       *Hub
	r       *http.Request
	written int64
}

// Write implements io.Writer.
func (m *meter) Write(b []byte) (int, error) {
	if m.r.Method == http.MethodHead {
		return len(b), nil
	}
	total := 0
	for len(b) > 0 {
		chunk := b[:min(len(b), 4<<10)]
		if rate := m.h.rate.Load(); rate > 0 {
			m.h.pacer.wait(m.r, int64(len(chunk)), rate)
		}
		n, err := m.ResponseWriter.Write(chunk)
		if m.h.rate.Load() > 0 && err == nil {
			// What is counted has left: nothing waits in a buffer of ours.
			err = http.NewResponseController(m.ResponseWriter).Flush()
		}
		m.h.sent.Add(int64(n))
		m.written += int64(n)
		total += n
		if err != nil {
			return total, err
		}
		if cut := m.h.cut.Load(); cut > 0 && m.written >= cut {
			panic(http.ErrAbortHandler)
		}
		b = b[n:]
	}
	return total, nil
}

// pacer gives all transfers together a rate.
type pacer struct {
	mu   sync.Mutex
	next time.Time
}

func (p *pacer) wait(r *http.Request, n, rate int64) {
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	at := p.next
	p.next = p.next.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	p.mu.Unlock()
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

func (r *Repo) find(path string) *File {
	for i := range r.Files {
		if r.Files[i].Path == path {
			return &r.Files[i]
		}
	}
	return nil
}

func (f *File) size() int64 {
	if f.Content != nil {
		return int64(len(f.Content))
	}
	return f.Size
}

// open reads the content.
func (f *File) open() io.ReadSeeker {
	if f.Content != nil {
		return strings.NewReader(string(f.Content))
	}
	return io.NewSectionReader(seeded(f.Seed), 0, f.Size)
}

// Reader reads what the file's content is.
func (f *File) Reader() io.Reader { return f.open() }

func (f *File) published() string {
	if f.Published != "" {
		return f.Published
	}
	if !f.LFS {
		return f.gitOID()
	}
	h := sha256.New()
	_, _ = io.Copy(h, f.open()) // both ends are memory
	f.Published = hex.EncodeToString(h.Sum(nil))
	return f.Published
}

func (f *File) gitOID() string {
	if f.LFS {
		return hex.EncodeToString(make([]byte, 20))
	}
	if f.Published != "" {
		return f.Published
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", f.size())
	_, _ = io.Copy(h, f.open()) // both ends are memory
	f.Published = hex.EncodeToString(h.Sum(nil))
	return f.Published
}

// Hash is the hash that the hub publishes of a file.
func (f *File) Hash() string { return f.published() }

// seeded is an endless file of pseudo-random bytes that can be read anywhere.
type seeded uint64

const block = 64 << 10

// ReadAt implements io.ReaderAt.
func (s seeded) ReadAt(p []byte, off int64) (int, error) {
	var buf [block]byte
	for n := 0; n < len(p); {
		at := (off + int64(n)) / block
		rand.NewChaCha8(seedOf(uint64(s), uint64(at))).Read(buf[:]) //nolint:errcheck // never fails
		n += copy(p[n:], buf[(off+int64(n))%block:])
	}
	return len(p), nil
}

func seedOf(seed, at uint64) (out [32]byte) {
	for i := range 8 {
		out[i], out[8+i] = byte(seed>>(8*i)), byte(at>>(8*i))
	}
	return out
}
