package accesslog

import (
	"net"
	"net/http"
	"strings"
	"time"
)

// entry is what is known of a request when it is over.
type entry struct {
	remote, user                    string
	method, uri, path, query, proto string
	host, referer, agent            string
	requestID, correlationID        string
	extra                           []string // what the format takes from headers, in its order
	status                          int      // 0: there was no answer
	bytes                           int64
	at                              time.Time
	took                            time.Duration
}

// describe takes from a request and the headers of its answer what may be written.
func describe(r *http.Request, answer http.Header, extra []extractor) entry {
	user, _, _ := r.BasicAuth()
	e := entry{
		remote: address(r.RemoteAddr), user: user,
		method: r.Method, uri: hideInURL(r.RequestURI), path: r.URL.Path, query: hide(r.URL.RawQuery), proto: r.Proto,
		host: r.Host, referer: hideInURL(r.Referer()), agent: r.UserAgent(),
		requestID: answer.Get("X-Request-Id"), correlationID: answer.Get("X-Correlation-Id"),
	}
	if len(extra) > 0 {
		e.extra = make([]string, len(extra))
		for i, take := range extra {
			e.extra[i] = take(r, answer)
		}
	}
	return e
}

// detach copies the texts: they are parts of the request's buffers, which a
// connection that lives for hours should not keep.
func (e *entry) detach() {
	for _, s := range []*string{
		&e.remote, &e.user, &e.method, &e.uri, &e.path, &e.query, &e.proto, &e.host, &e.referer, &e.agent, &e.requestID, &e.correlationID,
	} {
		*s = strings.Clone(*s)
	}
	for i := range e.extra {
		e.extra[i] = strings.Clone(e.extra[i])
	}
}

// address is the host of a remote address; a Unix socket's peer has none.
func address(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil || host == "@" {
		return strings.Trim(remote, "@")
	}
	return host
}

const hidden = "***"

// secretParameters are parameters whose values open something: setup links, sessions
// of the realtime side, keys and sign-in codes.
func secretParameter(name string) bool {
	switch strings.ToLower(name) {
	case "token", "access_token", "refresh_token", "id_token", "setup_token", "sid", "key", "api_key", "apikey",
		"password", "passwd", "secret", "client_secret", "code", "signature", "sig", "x-amz-signature":
		return true
	}
	return false
}

// hide replaces the values of secret parameters in a query.
func hide(query string) string {
	if query == "" {
		return ""
	}
	var out strings.Builder
	changed := false
	for rest := query; rest != ""; {
		pair, separator := rest, ""
		if i := strings.IndexAny(rest, "&;"); i >= 0 {
			pair, separator = rest[:i], rest[i:i+1]
		}
		rest = rest[len(pair)+len(separator):]
		if name, value, ok := strings.Cut(pair, "="); ok && value != "" && secretParameter(name) {
			pair, changed = name+"="+hidden, true
		}
		out.WriteString(pair)
		out.WriteString(separator)
	}
	if !changed {
		return query
	}
	return out.String()
}

// hideInURL hides in the query of an address, whatever the address looks like, and
// drops the fragment, which is none of a server's business.
func hideInURL(address string) string {
	address, _, _ = strings.Cut(address, "#")
	before, query, ok := strings.Cut(address, "?")
	if !ok {
		return address
	}
	return before + "?" + hide(query)
}
