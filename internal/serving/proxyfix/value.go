package proxyfix

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Limits of what is read at all.
const (
	maxHeader = 8 << 10 // of all lines of one header together
	maxHost   = 253     // of a name, by the DNS
	maxPrefix = 256
)

// list splits a header as werkzeug does (since 3.1.7): commas inside double quotes
// do not count, an element may be quoted as a whole, empty elements do not count,
// and a quote that does not end makes the whole header worthless. Escapes stay as
// they are: no value that is accepted here has any.
func list(header string) []string {
	out := make([]string, 0, 4)
	start, quoted := 0, false
	for i := 0; i < len(header); i++ {
		switch c := header[i]; {
		case quoted && c == '\\':
			i++ // whatever is escaped
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			out = element(out, header[start:i])
			start = i + 1
		}
	}
	if quoted {
		return nil
	}
	return element(out, header[start:])
}

func element(out []string, text string) []string {
	text = strings.Trim(text, " \t")
	if text == "" {
		return out
	}
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	return append(out, text)
}

// address reads an IP address, which some proxies send with the client's port.
func address(value string) (addr netip.Addr, port uint16, ok bool) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(value, "["), "]")); err == nil {
		bracketed := strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]")
		bare := !strings.ContainsAny(value, "[]")
		if bare || (bracketed && a.Is6()) {
			return a.Unmap(), 0, a.Zone() == ""
		}
		return netip.Addr{}, 0, false
	}
	ap, err := netip.ParseAddrPort(value)
	if err != nil || ap.Addr().Zone() != "" {
		return netip.Addr{}, 0, false
	}
	return ap.Addr().Unmap(), ap.Port(), true
}

// scheme reads http, https, and their WebSocket forms, which some proxies send
// for an upgrade.
func scheme(value string) (string, bool) {
	switch strings.ToLower(value) {
	case "http", "ws":
		return HTTP, true
	case "https", "wss":
		return HTTPS, true
	default:
		return "", false
	}
}

// named tells whether a text is a host name or IPv4 address; names of containers
// may have underscores.
func named(text string) bool {
	if text == "" || len(text) > maxHost {
		return false
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case alphanumeric(c), c == '_':
		case c == '-':
			if i == 0 || i == len(text)-1 {
				return false
			}
		case c == '.':
			if i == 0 || text[i-1] == '.' {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// host reads a host with or without a port.
func host(value string) (string, bool) {
	name, port, ok := splitHost(value)
	if !ok || (port != "" && !validPort(port)) {
		return "", false
	}
	if v6, found := strings.CutPrefix(name, "["); found {
		addr, err := netip.ParseAddr(strings.TrimSuffix(v6, "]"))
		return value, err == nil && addr.Is6() && addr.Zone() == ""
	}
	return value, named(name)
}

// splitHost takes a host apart; the name of an IPv6 host keeps its brackets.
func splitHost(value string) (name, port string, ok bool) {
	i := strings.LastIndexByte(value, ':')
	if i < 0 || strings.HasSuffix(value, "]") {
		return value, "", true
	}
	name, port = value[:i], value[i+1:]
	return name, port, port != "" && (strings.HasSuffix(name, "]") || !strings.Contains(name, ":"))
}

func validPort(value string) bool {
	n, err := strconv.ParseUint(value, 10, 16)
	return err == nil && n > 0 && value[0] != '+'
}

// withPort replaces the port of a host.
func withPort(value, port string) string {
	name, _, _ := splitHost(value)
	return name + ":" + port
}

// withoutDefaultPort leaves out the port that browsers leave out.
func withoutDefaultPort(value, scheme string) string {
	name, port, ok := splitHost(value)
	if ok && ((scheme == HTTP && port == "80") || (scheme == HTTPS && port == "443")) {
		return name
	}
	return value
}

// prefix reads a path without a trailing slash; "/" is no prefix at all.
func prefix(value string) (string, bool) {
	if value == "/" {
		return "", true
	}
	trimmed := strings.TrimSuffix(value, "/")
	if trimmed == "" || len(trimmed) > maxPrefix || trimmed[0] != '/' {
		return "", false
	}
	for segment := range strings.SplitSeq(trimmed[1:], "/") {
		if strings.Trim(segment, ".") == "" || !plain(segment) { // empty, ".", "..": no segment of a path
			return "", false
		}
	}
	return trimmed, true
}

// plain tells whether a segment means the same whether or not it is encoded.
func plain(segment string) bool {
	for i := range len(segment) {
		if c := segment[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '~' && c != '-' {
			return false
		}
	}
	return true
}

// remote is an address of the form that net/http uses.
func remote(addr netip.Addr, port uint16) string {
	return net.JoinHostPort(addr.String(), strconv.Itoa(int(port)))
}
