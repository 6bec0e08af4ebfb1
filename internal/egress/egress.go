package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// Allow holds what may be reached although it is not public.
type Allow struct {
	networks []netip.Prefix
	hosts    map[string]bool // host, or host:port
	suffixes []string        // from entries like *.example.org, with the dot
	reserved []netip.Prefix
}

// New reads entries: a network (10.0.0.0/8), an address, a host, a host
// with a port, or a wildcard for the hosts below a domain (*.svc.cluster.local).
func New(entries []string) (*Allow, error) {
	a := &Allow{hosts: map[string]bool{}, reserved: reserved()}
	for _, e := range entries {
		e = strings.ToLower(strings.TrimSpace(e))
		switch {
		case e == "":
			continue
		case strings.Contains(e, "/"):
			p, err := netip.ParsePrefix(e)
			if err != nil {
				return nil, errs.Ef(errs.Invalid, "http_node.allow", "%q is neither a host nor a network such as 10.0.0.0/8.", e)
			}
			a.networks = append(a.networks, p.Masked())
		case strings.HasPrefix(e, "*.") && len(e) > 2:
			a.suffixes = append(a.suffixes, e[1:])
		default:
			if ip, err := netip.ParseAddr(strings.Trim(e, "[]")); err == nil {
				a.networks = append(a.networks, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
				continue
			}
			if strings.ContainsAny(e, "*@ ?#") {
				return nil, errs.Ef(errs.Invalid, "http_node.allow", "%q is not a host. Write host, host:port, *.domain, an address or a network.", e)
			}
			a.hosts[e] = true
		}
	}
	return a, nil
}

// reserved are the networks that do not lead to the public internet.
func reserved() []netip.Prefix {
	texts := []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16",
		"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	}
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// permits decides about the address that a connection really goes to.
func (a *Allow) permits(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range a.networks {
		if p.Contains(ip) {
			return true
		}
	}
	for _, p := range a.reserved {
		if p.Contains(ip) {
			return false
		}
	}
	if inner, ok := embedded(ip); ok {
		return a.permits(inner)
	}
	return ip.IsGlobalUnicast()
}

// embedded is the IPv4 address that a translating IPv6 address stands for.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	b := ip.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case netip.MustParsePrefix("2002::/16").Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

func (a *Allow) allowsHost(host, port string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if a.hosts[host] || a.hosts[net.JoinHostPort(host, port)] {
		return true
	}
	for _, s := range a.suffixes {
		if strings.HasSuffix(host, s) {
			return true
		}
	}
	return false
}

// Dial connects; the check runs after the name was resolved, for every address that
// is tried. Hosts that are allowed by name may resolve to anything.
func (a *Allow) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	d := &net.Dialer{Timeout: 15 * time.Second}
	if !a.allowsHost(host, port) {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil || !a.permits(ap.Addr()) {
				return &BlockedError{Address: addr}
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, addr)
}

// BlockedError is a connection that was not made. It names what the node asked for,
// not what that resolved to: names of the inside are nothing for the outside.
type BlockedError struct{ Address string }

// Error implements error.
func (e *BlockedError) Error() string { return "not a public address: " + e.Address }
