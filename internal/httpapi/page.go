package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

// PageOptions are what serving the page needs.
type PageOptions struct {
	Files      fs.FS  // the built page; nil or without index.html: not built
	WebPrefix  string // "/web"
	APIPrefix  string // "/api"
	SocketPath string // "/socket.io"; the page uses it below the API prefix
	Transports []string
	Version    string
}

// spa serves the built page below the web prefix. Files are found by name; any
// other address that a browser navigates to gets index.html, whose router knows
// it. What runs where is injected into index.html, with the prefix that the
// request's proxy mounts us below, so one build serves any prefix.
type spa struct {
	opts  PageOptions
	files http.FileSystem
	index index
	err   error // why there is no index
}

func newPage(o PageOptions) http.Handler {
	p := &spa{opts: o, files: http.FS(o.Files)}
	p.index, p.err = readIndex(o.Files)
	return p
}

// ServeHTTP implements http.Handler.
func (p *spa) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeProblem(w, r, http.StatusMethodNotAllowed, "Only GET and HEAD are accepted here.")
		return
	}
	if r.URL.Path == p.opts.WebPrefix {
		redirectTo(p.opts.WebPrefix+"/").ServeHTTP(w, r)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+strings.TrimPrefix(r.URL.Path, p.opts.WebPrefix)), "/")
	if p.opts.Files != nil && name != "" && name != "index.html" && serveFile(w, r, p.files, name) {
		return
	}
	// What a script or an image asks for is not a page's address, and a missing
	// asset must not look like one.
	if !acceptsHTML(r) || strings.HasPrefix(name+"/", "assets/") {
		writeProblem(w, r, http.StatusNotFound, "There is no file "+proxyfix.From(r).Path(r.URL.Path)+".")
		return
	}
	p.serveIndex(w, r)
}

func (p *spa) serveIndex(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if p.err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("<!doctype html><title>llmctl Studio</title><p>The page is not built into this binary. Run <code>make build</code> and start again.</p>"))
		return
	}
	body, csp, err := p.index.render(p.opts, proxyfix.From(r).Prefix)
	if err != nil {
		writeProblem(w, r, http.StatusInternalServerError, "", err)
		return
	}
	w.Header().Set("Content-Security-Policy", csp)
	_, _ = w.Write(body)
}

// redirectTo sends browsers to one of our own paths, below the prefix that their
// proxy mounts us at.
func redirectTo(own string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, proxyfix.From(r).Path(own), http.StatusFound)
	})
}

// pageElsewhere answers for the page in a process that does not serve it.
func pageElsewhere(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, r, 0, "", errs.E(errs.NotFound, "page.elsewhere",
		"This process serves the API only. The page is served by `llmctl frontend`, or by `llmctl serve --with-web`."))
}

func acceptsHTML(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return accept == "" || strings.Contains(accept, "text/html") || strings.Contains(accept, "*/*")
}

// serveFile serves a built file; the bundler's names change with their content.
func serveFile(w http.ResponseWriter, r *http.Request, files http.FileSystem, name string) bool {
	f, err := files.Open("/" + name)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return false
	}
	if strings.HasPrefix(name, "assets/") {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, name, info.ModTime(), f)
	return true
}

// index is index.html, cut where its settings belong.
type index struct{ before, after []byte }

func readIndex(files fs.FS) (index, error) {
	if files == nil {
		return index{}, fs.ErrNotExist
	}
	raw, err := fs.ReadFile(files, "index.html")
	if err != nil {
		return index{}, err
	}
	head := regexp.MustCompile(`(?i)<head(\s[^>]*)?>`).FindIndex(raw)
	if head == nil {
		return index{}, errors.New("index.html has no head element")
	}
	return index{before: raw[:head[1]], after: raw[head[1]:]}, nil
}

// render injects the base address and the run-time settings, and allows the one
// inline script by its hash.
func (i index) render(o PageOptions, prefix string) (body []byte, csp string, err error) {
	// json.Marshal escapes <, > and &, so the settings cannot end the script.
	settings, err := json.Marshal(map[string]any{
		"basePath": prefix + o.WebPrefix, "apiBase": prefix + o.APIPrefix, "socketPath": prefix + o.APIPrefix + o.SocketPath,
		"transports": o.Transports, "version": o.Version,
	})
	if err != nil {
		return nil, "", err
	}
	script := "window.__STUDIO__=" + string(settings)
	inject := `<base href="` + html.EscapeString(prefix+o.WebPrefix) + `/"><script>` + script + `</script>`
	sum := sha256.Sum256([]byte(script))
	// Style attributes are what the component library and the canvas position with.
	csp = "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; style-src 'self' 'unsafe-inline'; " +
		"script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
		"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
	return slices.Concat(i.before, []byte(inject), i.after), csp, nil
}
