// Package freeport gives tests ports for servers that cannot be asked to choose one
// themselves. A port that was just closed may be given to anybody who asks the system
// for any, so these lie below the range from which the system gives, and each is
// given once.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	first = 20_000
	count = 12_000 // the system's own range begins at 32768
	tries = 200
)

var given sync.Map //nolint:gochecknoglobals // the ports of this test binary

// Get gives a port of 127.0.0.1 that nobody listens on.
func Get(tb testing.TB) string {
	tb.Helper()
	for range tries {
		port := strconv.Itoa(first + rand.IntN(count))
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		ln, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			continue
		}
		require.NoError(tb, ln.Close())
		return port
	}
	require.Fail(tb, "no free port found")
	return ""
}
