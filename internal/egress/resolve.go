package egress

import (
	"context"
	"net"
	"net/netip"
)

// Resolve gives the addresses of a host that may be connected to, for programs that
// connect by themselves and are told where. Hosts that are allowed by name may resolve
// to anything. Errors: a [BlockedError] when none of them may be; those of the look-up.
func (a *Allow) Resolve(ctx context.Context, host, port string) ([]netip.Addr, error) {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, ip := range found {
		if ip = ip.Unmap(); a.allowsHost(host, port) || a.permits(ip) {
			out = append(out, ip)
		}
	}
	if len(out) == 0 {
		return nil, &BlockedError{Address: net.JoinHostPort(host, port)}
	}
	return out, nil
}
