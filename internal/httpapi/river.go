package httpapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

// riverPath is where River's own page lies, below the API prefix.
const riverPath = "/river"

const (
	// maxRiverBody bounds what River's page sends: ids of jobs.
	maxRiverBody = 64 << 10
	// maxRiverNote bounds what of it goes into the audit log.
	maxRiverNote = 4 << 10
)

// riverAPI are the resources that River's page has below its own /api; River would
// answer others with the page.
func riverAPI() []string {
	return []string{"autocomplete", "features", "health-checks", "jobs", "queues", "states", "version"}
}

// river serves River's own page to administrators. Who writes is noted, and pauses go
// our way: ours is the flag that claims respect.
func (s *server) river() http.Handler {
	prefix := s.deps.APIPrefix + riverPath
	return s.signedIn(func(w http.ResponseWriter, r *http.Request) {
		if p := user(r.Context()); !p.May(auth.Manage) {
			writeProblem(w, r, 0, "", errs.Ef(errs.Forbidden, "auth.forbidden",
				"Your role %s may not see River's page; it needs the permission %q. Ask an administrator.", p.Role, auth.Manage))
			return
		}
		if r.URL.Path == prefix {
			http.Redirect(w, r, proxyfix.From(r).Path(prefix+"/"), http.StatusFound)
			return
		}
		below := strings.TrimPrefix(r.URL.Path, prefix)
		resource, isAPI := strings.CutPrefix(below, "/api/")
		first, rest, _ := strings.Cut(resource, "/")
		switch {
		case isAPI && !slices.Contains(riverAPI(), first), below == "/api":
			s.notFound(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			s.riverWrite(w, r, first, rest)
		case isAPI:
			s.deps.River.ServeHTTP(w, r)
		default:
			s.riverPage(w, r, below)
		}
	})
}

// riverPage serves the page and its files. Their names change with their content, and
// nothing of them is secret.
func (s *server) riverPage(w http.ResponseWriter, r *http.Request, below string) {
	if path.Ext(below) == "" && !strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.notFound(w, r)
		return
	}
	if strings.HasPrefix(below, "/assets/") {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
		s.deps.River.ServeHTTP(w, r)
		return
	}
	if path.Ext(below) != "" {
		s.deps.River.ServeHTTP(w, r)
		return
	}
	page := &held{header: http.Header{}, status: http.StatusOK}
	s.deps.River.ServeHTTP(page, r)
	body := page.body.Bytes()
	// The page was built for our path; a proxy may have mounted us below another one.
	own := s.deps.APIPrefix + riverPath
	if seen := proxyfix.From(r).Path(own); seen != own {
		body = bytes.ReplaceAll(body, []byte(own), []byte(seen))
	}
	w.Header().Set("Content-Type", page.header.Get("Content-Type"))
	w.Header().Set("Vary", "Accept")
	// Its configuration is a JSON block, which is not run; widgets set styles inline.
	w.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(page.status)
	_, _ = w.Write(body)
}

// held keeps an answer to be changed.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (h *held) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter.
func (h *held) WriteHeader(status int) { h.status = status }

// Write implements http.ResponseWriter.
func (h *held) Write(p []byte) (int, error) { return h.body.Write(p) }

// riverWrite lets a change through after it was noted.
func (s *server) riverWrite(w http.ResponseWriter, r *http.Request, resource, rest string) {
	name, verb, _ := strings.Cut(rest, "/")
	if resource == "queues" && r.Method == http.MethodPut {
		s.riverPause(w, r, name, verb)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRiverBody))
	if err != nil {
		writeProblem(w, r, 0, "", errs.Ef(errs.TooLarge, "request.too_large", "The body is larger than %d bytes, or could not be read.", maxRiverBody))
		return
	}
	err = s.deps.DB.InTx(r.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		return auth.Audit(ctx, tx, auth.AuditEntry{
			UserID: user(ctx).UserID, Action: "river.changed", EntityKind: "river", EntityID: resource,
			Detail: map[string]any{"method": r.Method, "path": "/" + resource + "/" + rest, "body": string(body[:min(len(body), maxRiverNote)])},
		})
	})
	if err != nil {
		writeProblem(w, r, http.StatusInternalServerError, "", err)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.deps.River.ServeHTTP(w, r)
}

// riverPause pauses and resumes as the operations do.
func (s *server) riverPause(w http.ResponseWriter, r *http.Request, river, verb string) {
	name, err := queue.Public(river)
	if err == nil {
		in := &QueueInput{Name: name}
		switch verb {
		case "pause":
			_, err = s.pauseQueue(r.Context(), in)
		case "resume":
			_, err = s.resumeQueue(r.Context(), in)
		default:
			s.notFound(w, r)
			return
		}
	}
	if err != nil {
		writeProblem(w, r, http.StatusInternalServerError, "", err)
		return
	}
	body := `{"status":"ok"}` + "\n"
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = io.WriteString(w, body)
}
