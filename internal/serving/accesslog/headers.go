package accesslog

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
)

func appendPID(dst []byte, _ *entry, _ int) []byte { return fmt.Appendf(dst, "<%d>", syscall.Getpid()) }

// extract finds the meaning of {name}kind; name is in lower case.
func extract(name string, kind byte) (extractor, error) {
	if kind == 'e' {
		return variable(name)
	}
	if kind != 'i' && kind != 'o' {
		return nil, &FormatError{Want: fmt.Sprintf("{%s}i, {%[1]s}o or {%[1]s}e; got {%[1]s}%c", name, kind)}
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789!#$&'*+-.^_`|~") != "" {
		return nil, &FormatError{Want: fmt.Sprintf("the name of a header in {%s}%c", name, kind)}
	}
	if slices.Contains([]string{"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"}, name) {
		return nil, secret(name)
	}
	key := http.CanonicalHeaderKey(name)
	if kind == 'i' {
		return func(r *http.Request, _ http.Header) string { return header(r, key) }, nil
	}
	return func(_ *http.Request, answer http.Header) string { return strings.Join(answer[key], ", ") }, nil
}

func secret(name string) error {
	return &FormatError{Want: "no header that carries credentials; " + name + " does"}
}

// header gives a request's header; net/http keeps Host elsewhere.
func header(r *http.Request, key string) string {
	switch key {
	case "Host":
		return r.Host
	case "Referer":
		return hideInURL(r.Referer())
	default:
		return strings.Join(r.Header[key], ", ")
	}
}

// variables are those of WSGI's environment that a request has, but for headers.
func variables() map[string]extractor {
	of := func(get func(r *http.Request) string) extractor {
		return func(r *http.Request, _ http.Header) string { return get(r) }
	}
	port := func(address string) string {
		_, port, _ := net.SplitHostPort(address) // empty where there is none
		return port
	}
	return map[string]extractor{
		"request_method":  of(func(r *http.Request) string { return r.Method }),
		"path_info":       of(func(r *http.Request) string { return r.URL.Path }),
		"query_string":    of(func(r *http.Request) string { return hide(r.URL.RawQuery) }),
		"raw_uri":         of(func(r *http.Request) string { return hideInURL(r.RequestURI) }),
		"remote_addr":     of(func(r *http.Request) string { return address(r.RemoteAddr) }),
		"remote_port":     of(func(r *http.Request) string { return port(r.RemoteAddr) }),
		"server_protocol": of(func(r *http.Request) string { return r.Proto }),
		"server_name":     of(func(r *http.Request) string { return address(r.Host) }),
		"server_port":     of(func(r *http.Request) string { return port(r.Host) }),
		"content_type":    of(func(r *http.Request) string { return r.Header.Get("Content-Type") }),
		"content_length":  of(func(r *http.Request) string { return r.Header.Get("Content-Length") }),
		"wsgi.url_scheme": of(func(r *http.Request) string {
			if r.TLS != nil || r.URL.Scheme == "https" {
				return "https"
			}
			return "http"
		}),
	}
}

// variable finds a variable of WSGI's environment: http_x_y is the header X-Y.
func variable(name string) (extractor, error) {
	if take, ok := variables()[name]; ok {
		return take, nil
	}
	if rest, ok := strings.CutPrefix(name, "http_"); ok && rest != "" {
		return extract(strings.ReplaceAll(rest, "_", "-"), 'i')
	}
	names := make([]string, 0, 12)
	for known := range variables() {
		names = append(names, known)
	}
	slices.Sort(names)
	return nil, &FormatError{Want: fmt.Sprintf("a variable of the request in {%s}e: %s, or http_ and the name of a header", name, strings.Join(names, " "))}
}
