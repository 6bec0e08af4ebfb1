// Package drivetest is a small Google Drive: the calls that sources make, over files
// that a test lays out, with the troubles that it orders.
package drivetest

import (
	"crypto"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Types of what lies in Drive.
const (
	Folder       = "application/vnd.google-apps.folder"
	Document     = "application/vnd.google-apps.document"
	Spreadsheet  = "application/vnd.google-apps.spreadsheet"
	Presentation = "application/vnd.google-apps.presentation"
	Form         = "application/vnd.google-apps.form"
	Shortcut     = "application/vnd.google-apps.shortcut"
)

// File is a file or a folder.
type File struct {
	ID, Name, Type string
	Parent         string
	Text           string // of a document: what it is exported as
	Modified       time.Time
	Created        time.Time
	Closed         bool // a folder that the account sees and may not list
}

// Server is a Drive.
type Server struct {
	*httptest.Server
	key   *rsa.PrivateKey
	email string

	mu       sync.Mutex
	files    map[string]File
	page     int
	partly   bool
	revoked  bool
	failures []Failure
	calls    []string
}

// Failure is an answer that a call gets instead of its own.
type Failure struct {
	Match      string // in "METHOD /path?query"
	Status     int
	Reason     string // as Drive names it
	RetryAfter string
	Hangup     bool // the connection ends without an answer
}

// New starts a Drive with an empty folder "root".
func New(t *testing.T) *Server {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	s := &Server{key: key, email: "indexer@project.iam.gserviceaccount.com", files: map[string]File{}, page: 1000}
	s.Put(File{ID: "root", Name: "Root", Type: Folder})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("GET /drive/v3/files", s.authorized(s.list))
	mux.HandleFunc("GET /drive/v3/files/{id}", s.authorized(s.get))
	mux.HandleFunc("GET /drive/v3/files/{id}/export", s.authorized(s.export))
	s.Server = httptest.NewServer(s.troubled(mux))
	t.Cleanup(s.Close)
	return s
}

// Account is the key file of the service account that may read it.
func (s *Server) Account(t *testing.T) string {
	t.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(s.key)
	require.NoError(t, err)
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": s.email, "private_key_id": "1", "token_uri": s.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
	})
	require.NoError(t, err)
	return string(text)
}

// Put adds or replaces files.
func (s *Server) Put(files ...File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range files {
		if f.Modified.IsZero() {
			f.Modified = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		}
		if f.Created.IsZero() {
			f.Created = time.Date(2026, 1, 1, 0, 0, len(s.files), 0, time.UTC)
		}
		s.files[f.ID] = f
	}
}

// Remove removes files.
func (s *Server) Remove(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.files, id)
	}
}

// PageSize has lists come in pages of n files.
func (s *Server) PageSize(n int) { s.mu.Lock(); s.page = n; s.mu.Unlock() }

// Revoke has the account's key refused.
func (s *Server) Revoke() { s.mu.Lock(); s.revoked = true; s.mu.Unlock() }

// Fail orders failures; each is used once, by the first call that it matches.
func (s *Server) Fail(f ...Failure) {
	s.mu.Lock()
	s.failures = append(s.failures, f...)
	s.mu.Unlock()
}

// Calls lists the calls since the last time, without those for tokens.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.calls
	s.calls = nil
	return out
}

func (s *Server) troubled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := r.Method + " " + r.URL.RequestURI()
		s.mu.Lock()
		if r.URL.Path != "/token" {
			s.calls = append(s.calls, call)
		}
		i := slices.IndexFunc(s.failures, func(f Failure) bool { return strings.Contains(call, f.Match) })
		var f Failure
		if i >= 0 {
			f = s.failures[i]
			s.failures = slices.Delete(s.failures, i, i+1)
		}
		s.mu.Unlock()
		switch {
		case i < 0:
			next.ServeHTTP(w, r)
		case f.Hangup:
			panic(http.ErrAbortHandler)
		default:
			if f.RetryAfter != "" {
				w.Header().Set("Retry-After", f.RetryAfter)
			}
			fail(w, f.Status, f.Reason, "ordered")
		}
	})
}

func fail(w http.ResponseWriter, status int, reason, message string) {
	answer(w, status, map[string]any{"error": map[string]any{
		"code": status, "message": message, "errors": []map[string]string{{"reason": reason, "message": message, "domain": "global"}},
	}})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // values of the tests
}

// token gives one for an assertion that the account's key signed.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.PostFormValue("assertion"), ".")
	s.mu.Lock()
	refused := s.revoked || len(parts) != 3
	s.mu.Unlock()
	if !refused {
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		claims, err2 := base64.RawURLEncoding.DecodeString(parts[1])
		refused = err != nil || err2 != nil || rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], signature) != nil ||
			!strings.Contains(string(claims), "drive.readonly") || !strings.Contains(string(claims), s.email)
	}
	if refused {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
		return
	}
	answer(w, http.StatusOK, map[string]any{"access_token": "drive-token", "token_type": "Bearer", "expires_in": 3600})
}

func (s *Server) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer drive-token" {
			fail(w, http.StatusUnauthorized, "authError", "Invalid Credentials")
			return
		}
		next(w, r)
	}
}

func view(f File) map[string]any {
	v := map[string]any{
		"id": f.ID, "name": f.Name, "mimeType": f.Type, "parents": []string{f.Parent},
		"modifiedTime": f.Modified.Format("2006-01-02T15:04:05.000Z"), "createdTime": f.Created.Format("2006-01-02T15:04:05.000Z"),
	}
	if f.Type == Folder {
		v["capabilities"] = map[string]any{"canListChildren": !f.Closed}
	}
	if !strings.HasPrefix(f.Type, "application/vnd.google-apps.") {
		sum := md5.Sum([]byte(f.Text))
		v["md5Checksum"], v["size"] = hex.EncodeToString(sum[:]), strconv.Itoa(len(f.Text))
	}
	return v
}

// Partly lets listings say that not all was searched.
func (s *Server) Partly(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partly = on
}

var parentTerm = regexp.MustCompile(`'([^']+)' in parents`)

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("supportsAllDrives") != "true" || q.Get("includeItemsFromAllDrives") != "true" || !strings.Contains(q.Get("q"), "trashed = false") {
		fail(w, http.StatusBadRequest, "invalid", "unexpected parameters")
		return
	}
	var parents []string
	for _, m := range parentTerm.FindAllStringSubmatch(q.Get("q"), -1) {
		parents = append(parents, m[1])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id, f := range s.files {
		if slices.Contains(parents, f.Parent) && !s.files[f.Parent].Closed {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	start, _ := strconv.Atoi(q.Get("pageToken"))
	end := min(start+s.page, len(ids))
	out := map[string]any{"incompleteSearch": s.partly}
	files := []map[string]any{}
	for _, id := range ids[start:end] {
		files = append(files, view(s.files[id]))
	}
	out["files"] = files
	if end < len(ids) {
		out["nextPageToken"] = strconv.Itoa(end)
	}
	answer(w, http.StatusOK, out)
}

func (s *Server) file(w http.ResponseWriter, r *http.Request) (File, bool) {
	s.mu.Lock()
	f, ok := s.files[r.PathValue("id")]
	s.mu.Unlock()
	if !ok {
		fail(w, http.StatusNotFound, "notFound", "File not found: "+r.PathValue("id")+".")
	}
	return f, ok
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	f, ok := s.file(w, r)
	switch {
	case !ok:
	case r.URL.Query().Get("alt") != "media":
		answer(w, http.StatusOK, view(f))
	case strings.HasPrefix(f.Type, "application/vnd.google-apps."):
		fail(w, http.StatusForbidden, "fileNotDownloadable", "Only files with binary content can be downloaded. Use Export.")
	default:
		_, _ = w.Write([]byte(f.Text))
	}
}

func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	if f, ok := s.file(w, r); ok {
		_, _ = fmt.Fprintf(w, "%s as %s", f.Text, r.URL.Query().Get("mimeType"))
	}
}
