package proxy

import (
	"crypto/tls"
	"math/big"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shown is the serial number of the certificate that a listener shows.
func shown(t *testing.T, ca *authority, address string) *big.Int {
	t.Helper()
	conn, err := (&tls.Dialer{Config: ca.trust()}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber
}

// eventually asks again until a condition holds, for want of a signal across processes.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-again.C {
		require.True(t, time.Now().Before(deadline), what)
	}
}

func TestRenewedCertificateIsTakenOnHUP(t *testing.T) {
	t.Parallel()
	front := func(t *testing.T, environ []string, _ ...string) (*process, string) {
		t.Helper()
		return startFrontend(t, "http://127.0.0.1:1", environ...)
	}
	for name, start := range map[string]func(t *testing.T, environ []string, args ...string) (*process, string){"serve": startServe, "frontend": front} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t)
			cert, key := ca.issue("studio.internal")
			p, address := start(t, []string{"GUNICORN_CERTFILE=" + cert, "GUNICORN_KEYFILE=" + key})
			first := shown(t, ca, address)

			good, err := os.ReadFile(key)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(key, []byte("not a key"), 0o600))
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
			eventually(t, "the fault is not reported", func() bool { return strings.Contains(p.log.String(), "GUNICORN_KEYFILE ("+key+") holds no PEM block") })
			require.Zero(t, first.Cmp(shown(t, ca, address)), "the old certificate stays")
			require.NoError(t, os.WriteFile(key, good, 0o600))

			ca.issue("studio.internal") // into the same files
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
			eventually(t, "the new certificate is not shown", func() bool { return first.Cmp(shown(t, ca, address)) != 0 })
		})
	}
}
