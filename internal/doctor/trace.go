package doctor

import (
	"context"
	"net"
	"net/http/httptrace"
	"net/netip"
)

// withLocal notes our end of the connection that a request gets.
func withLocal(ctx context.Context, local *netip.Addr) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if tcp, ok := info.Conn.LocalAddr().(*net.TCPAddr); ok {
				*local = tcp.AddrPort().Addr().Unmap()
			}
		},
	})
}
