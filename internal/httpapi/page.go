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
)

// newPage serves the built page below the web prefix. Files are found by name; any
// other address that a browser navigates to gets index.html, whose router knows
// it. What runs where is injected into index.html, so one build serves any prefix.
func newPage(d Deps) http.Handler {
	index, csp, err := indexOf(d)
	files := http.FS(d.Page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeProblem(w, r, http.StatusMethodNotAllowed, "Only GET and HEAD are accepted here.")
			return
		}
		name := strings.TrimPrefix(path.Clean("/"+strings.TrimPrefix(r.URL.Path, d.WebPrefix)), "/")
		if d.Page != nil && name != "" && name != "index.html" && serveFile(w, r, files, name) {
			return
		}
		// What a script or an image asks for is not a page's address, and a missing
		// asset must not look like one.
		if !acceptsHTML(r) || strings.HasPrefix(name+"/", "assets/") {
			writeProblem(w, r, http.StatusNotFound, "There is no file "+r.URL.Path+".")
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("<!doctype html><title>llmctl Studio</title><p>The page is not built into this binary. Run <code>make build</code> and start again.</p>"))
			return
		}
		w.Header().Set("Content-Security-Policy", csp)
		_, _ = w.Write(index)
	})
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

// indexOf prepares index.html: base address and run-time settings are injected,
// and the one inline script is allowed by its hash.
func indexOf(d Deps) (index []byte, csp string, err error) {
	if d.Page == nil {
		return nil, "", fs.ErrNotExist
	}
	raw, err := fs.ReadFile(d.Page, "index.html")
	if err != nil {
		return nil, "", err
	}
	// json.Marshal escapes <, > and &, so the settings cannot end the script.
	settings, err := json.Marshal(map[string]any{
		"basePath": d.WebPrefix, "apiBase": d.APIPrefix, "socketPath": d.APIPrefix + d.SocketPath,
		"transports": d.Transports, "version": d.Version,
	})
	if err != nil {
		return nil, "", err
	}
	script := "window.__STUDIO__=" + string(settings)
	inject := `<base href="` + html.EscapeString(d.WebPrefix) + `/"><script>` + script + `</script>`
	head := regexp.MustCompile(`(?i)<head(\s[^>]*)?>`).FindIndex(raw)
	if head == nil {
		return nil, "", errors.New("index.html has no head element")
	}
	sum := sha256.Sum256([]byte(script))
	// Style attributes are what the component library and the canvas position with.
	csp = "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; style-src 'self' 'unsafe-inline'; " +
		"script-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " +
		"object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
	return slices.Concat(raw[:head[1]], []byte(inject), raw[head[1]:]), csp, nil
}
