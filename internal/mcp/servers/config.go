package servers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/llmctl/studio/internal/errs"
)

// The transports.
const (
	StreamableHTTP = "streamable-http"
	SSE            = "sse"
	Stdio          = "stdio"
)

// Limits of a server's configuration.
const (
	maxSecrets = 50
	maxArgs    = 100
	maxText    = 4000
	maxTools   = 500
	maxTimeout = 3600.0
)

// Config is how a server is reached, without what is secret.
type Config struct {
	URL     string   `json:"url,omitempty"`
	Command string   `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
}

// Entered is a configuration as people enter it. Headers and Env are secrets.
type Entered struct {
	Key            string // of the form that names the server; else ""
	Transport      string
	Config         Config
	Headers        map[string]string
	Env            map[string]string
	TimeoutSeconds *float64
	AllowedTools   *[]string
	Enabled        *bool
}

var keyPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// faults gathers what is wrong with an input, so that all of it is told at once.
type faults []errs.Detail

func (f *faults) add(location, format string, args ...any) {
	*f = append(*f, errs.Detail{Location: location, Message: fmt.Sprintf(format, args...)})
}

func (f *faults) err(message string) error {
	if len(*f) == 0 {
		return nil
	}
	return errs.E(errs.Invalid, "mcp_server.config", message, (*f)...)
}

// Parse reads a configuration: the object of one server, or {"mcp_servers":
// {"<key>": {...}}} with exactly one entry, as other programs keep it.
func Parse(raw json.RawMessage) (Entered, error) {
	var f faults
	e := parse(raw, "body.config", &f)
	return e, f.err("The server's configuration cannot be used.")
}

func parse(raw json.RawMessage, at string, f *faults) Entered {
	m, ok := object(raw, at, f)
	if !ok {
		return Entered{}
	}
	for _, wrapper := range []string{"mcp_servers", "mcpServers"} {
		inner, ok := m[wrapper]
		if !ok {
			continue
		}
		at += "." + wrapper
		if len(m) > 1 {
			f.add(at, "must stand alone; found beside it: %s", strings.Join(others(m, wrapper), ", "))
		}
		entries, ok := object(inner, at, f)
		if !ok {
			return Entered{}
		}
		if len(entries) != 1 {
			f.add(at, "has %d entries; exactly one is accepted", len(entries))
			return Entered{}
		}
		for key, server := range entries {
			e := Entered{}
			if m, ok := object(server, at+"."+key, f); ok {
				e = members(m, at+"."+key, f)
			}
			e.Key = key
			checkKey(key, at, f)
			return e
		}
	}
	return members(m, at, f)
}

func others(m map[string]json.RawMessage, but string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m)), func(k string) bool { return k == but })
}

func object(raw json.RawMessage, at string, f *faults) (map[string]json.RawMessage, bool) {
	raw = bytes.TrimSpace(raw)
	var m map[string]json.RawMessage
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &m) != nil {
		f.add(at, "must be a JSON object such as {\"url\": \"https://host/mcp\"} or {\"command\": \"npx\", \"args\": [\"-y\", \"package\"]}")
		return nil, false
	}
	return m, true
}

func checkKey(key, at string, f *faults) {
	switch {
	case !keyPattern.MatchString(key):
		f.add(at, "is %q; accepted are 1 to 64 letters, digits, _ and -", clip(key))
	case Reserved(key):
		f.add(at, "is %q, which is reserved for a server that the Studio manages; choose another key", key)
	}
}

func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

// members reads the object of one server.
func members(m map[string]json.RawMessage, at string, f *faults) Entered {
	var e Entered
	targets := map[string]any{
		"transport": &e.Transport, "type": &e.Transport, "url": &e.Config.URL, "command": &e.Config.Command, "args": &e.Config.Args,
		"headers": &e.Headers, "http_headers": &e.Headers, "env": &e.Env, "timeout": &e.TimeoutSeconds, "timeout_seconds": &e.TimeoutSeconds,
		"tool_timeout_sec": &e.TimeoutSeconds, "enabled_tools": &e.AllowedTools, "allowed_tools": &e.AllowedTools, "enabled": &e.Enabled,
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		target, known := targets[name]
		if !known {
			f.add(at+"."+clip(name), "is not known; accepted are url, transport, command, args, headers, env, timeout_seconds, allowed_tools and enabled")
			continue
		}
		if err := json.Unmarshal(m[name], target); err != nil {
			f.add(at+"."+name, "must be %s", shapeOf(target))
		}
	}
	e.infer(at, f)
	e.check(at, f)
	return e
}

func shapeOf(target any) string {
	switch target.(type) {
	case *string:
		return "a text"
	case *[]string, **[]string:
		return "a list of texts"
	case *map[string]string:
		return "an object of texts"
	case **float64:
		return "a number of seconds"
	default:
		return "true or false"
	}
}

// infer finds the transport that a configuration means when it does not say.
func (e *Entered) infer(at string, f *faults) {
	switch e.Transport {
	case StreamableHTTP, SSE, Stdio:
	case "http", "streamable_http", "streamableHttp":
		e.Transport = StreamableHTTP
	case "":
		e.Transport = StreamableHTTP
		if e.Config.Command != "" {
			e.Transport = Stdio
		}
	default:
		f.add(at+".transport", "is %q; accepted are streamable-http, sse and stdio", clip(e.Transport))
	}
}

func (e *Entered) check(at string, f *faults) {
	if e.Transport == Stdio {
		e.checkCommand(at, f)
	} else {
		e.checkURL(at, f)
	}
	if t := e.TimeoutSeconds; t != nil && (*t <= 0 || *t > maxTimeout) {
		f.add(at+".timeout_seconds", "is %g; accepted is more than 0 and at most %g", *t, maxTimeout)
	}
	if e.AllowedTools != nil {
		checkTools(*e.AllowedTools, at+".allowed_tools", f)
	}
	checkHeaders(e.Headers, at+".headers", f)
	checkEnv(e.Env, at+".env", f)
}

func (e *Entered) checkURL(at string, f *faults) {
	if e.Config.Command != "" || len(e.Config.Args) > 0 || len(e.Env) > 0 {
		f.add(at, "mixes a url with command, args or env; a server has either the one or the others")
	}
	u, err := url.Parse(e.Config.URL)
	switch {
	case e.Config.URL == "":
		f.add(at+".url", "is missing; a server that is no program needs an address such as https://host/mcp")
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || len(e.Config.URL) > 2000:
		f.add(at+".url", "is %q; accepted is an http:// or https:// address of at most 2000 characters", clip(e.Config.URL))
	case u.User != nil:
		f.add(at+".url", "holds a user name or password; put them into a header, which is kept secret")
	case u.Fragment != "":
		f.add(at+".url", "has a fragment (#%s), which no server sees", clip(u.Fragment))
	}
}

func (e *Entered) checkCommand(at string, f *faults) {
	if e.Config.URL != "" || len(e.Headers) > 0 {
		f.add(at, "mixes a command with url or headers; a server has either the one or the others")
	}
	switch c := strings.TrimSpace(e.Config.Command); {
	case c == "":
		f.add(at+".command", "is missing; a stdio server needs the program to start")
	case strings.ContainsAny(c, "\x00\n") || len(c) > maxText:
		f.add(at+".command", "must be one line of at most %d characters without NUL", maxText)
	}
	if len(e.Config.Args) > maxArgs {
		f.add(at+".args", "has %d entries; at most %d are accepted", len(e.Config.Args), maxArgs)
	}
	for i, a := range e.Config.Args {
		if strings.ContainsRune(a, 0) || len(a) > maxText {
			f.add(fmt.Sprintf("%s.args[%d]", at, i), "must have at most %d characters and no NUL", maxText)
		}
	}
}

func checkTools(names []string, at string, f *faults) {
	if len(names) > maxTools {
		f.add(at, "has %d entries; at most %d are accepted", len(names), maxTools)
		return
	}
	for i, n := range names {
		if n == "" || len(n) > 200 {
			f.add(fmt.Sprintf("%s[%d]", at, i), "must be a tool's name of 1 to 200 characters")
		}
	}
}

// ownHeaders are those that the protocol sets.
func ownHeaders() []string {
	return []string{"Accept", "Content-Type", "Content-Length", "Host", "Connection", "Transfer-Encoding", "Mcp-Session-Id", "Mcp-Protocol-Version", "Last-Event-Id"}
}

func checkHeaders(headers map[string]string, at string, f *faults) {
	if len(headers) > maxSecrets {
		f.add(at, "has %d entries; at most %d are accepted", len(headers), maxSecrets)
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		switch value := headers[name]; {
		case !httpguts.ValidHeaderFieldName(name):
			f.add(at+"."+clip(name), "is not the name of a header")
		case slices.Contains(ownHeaders(), http.CanonicalHeaderKey(name)):
			f.add(at+"."+name, "is set by the protocol and cannot be chosen")
		case !httpguts.ValidHeaderFieldValue(value) || len(value) > maxText:
			f.add(at+"."+name, "has a value that no header can have, or one longer than %d characters", maxText)
		}
	}
}

var envPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,199}$`)

func checkEnv(env map[string]string, at string, f *faults) {
	if len(env) > maxSecrets {
		f.add(at, "has %d entries; at most %d are accepted", len(env), maxSecrets)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		switch value := env[name]; {
		case !envPattern.MatchString(name):
			f.add(at+"."+clip(name), "is not the name of an environment variable (letters, digits and _)")
		case strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "LLMCTL_"):
			f.add(at+"."+name, "cannot be set: variables that begin with LD_ or LLMCTL_ are refused")
		case strings.ContainsRune(value, 0) || len(value) > 4*maxText:
			f.add(at+"."+name, "must have at most %d characters and no NUL", 4*maxText)
		}
	}
}

// CheckSecrets looks at headers and variables that are given beside a
// configuration; transport is "" while it is not known.
func CheckSecrets(transport string, headers, env map[string]*string) error {
	var f faults
	if transport == Stdio && len(headers) > 0 {
		f.add("body.headers", "cannot be set for a program; give it environment variables (env)")
	}
	if transport != Stdio && transport != "" && len(env) > 0 {
		f.add("body.env", "cannot be set for a server that is reached by HTTP; set headers")
	}
	checkHeaders(given(headers), "body.headers", &f)
	checkEnv(given(env), "body.env", &f)
	return f.err("The server's secrets cannot be used.")
}

func given(m map[string]*string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		if v == nil {
			v = new(string)
		}
		out[k] = *v
	}
	return out
}
