package serving

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThreadsWithoutALimit(t *testing.T) {
	t.Parallel()
	th := newThreads(0)
	for range 1000 {
		require.True(t, th.enter(t.Context()))
	}
	th.leave()
	require.Zero(t, th.waiting())
}

func TestThreadsLetOneInForEachThatLeaves(t *testing.T) {
	t.Parallel()
	th := newThreads(2)
	require.True(t, th.enter(t.Context()))
	require.True(t, th.enter(t.Context()))
	in := make(chan bool)
	go func() { in <- th.enter(t.Context()) }()
	require.Eventually(t, func() bool { return th.waiting() == 1 }, patience, look)
	th.leave()
	require.True(t, <-in)
	require.Zero(t, th.waiting())

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, th.enter(gone), "who is gone does not wait")
	require.Zero(t, th.waiting())
}

func TestGateCountsConnectionsOnce(t *testing.T) {
	t.Parallel()
	g := newGate(5)
	ln := g.listen(listen(t))
	defer func() { _ = ln.Close() }()
	go func() {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
	}()
	c, err := ln.Accept()
	require.NoError(t, err)
	require.Equal(t, 1, g.open())
	_, ok := c.(*tcpConn)
	require.True(t, ok, "what the connection can do stays reachable")
	require.NoError(t, c.Close())
	_ = c.Close()
	require.Zero(t, g.open())
}

func TestClosedGateLetsNobodyIn(t *testing.T) {
	t.Parallel()
	g := newGate(1)
	inner := listen(t)
	ln := g.listen(inner)
	defer func() { _ = ln.Close() }()
	client, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	c, err := ln.Accept()
	require.NoError(t, err)
	refused := make(chan error)
	go func() { _, err := ln.Accept(); refused <- err }()
	g.close()
	g.close()
	require.ErrorIs(t, <-refused, net.ErrClosed)
	require.NoError(t, c.Close())
}

func TestGateOfUnixSockets(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("unix", t.TempDir()+"/s")
	require.NoError(t, err)
	g := newGate(1)
	ln := g.listen(inner)
	defer func() { _ = ln.Close() }()
	client, err := net.Dial("unix", inner.Addr().String())
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	c, err := ln.Accept()
	require.NoError(t, err)
	require.IsType(t, &unixConn{}, c)
	require.NoError(t, c.Close())
	require.Zero(t, g.open())
}

func TestLimitOfWorkers(t *testing.T) {
	t.Parallel()
	a := New(Options{})
	a.target = maxWorkers
	_, total, err := a.resize(1)
	require.ErrorContains(t, err, "at most 1024")
	require.Equal(t, maxWorkers, total)
	previous, total, err := a.resize(-maxWorkers * 2)
	require.NoError(t, err)
	require.Equal(t, []int{maxWorkers, 1}, []int{previous, total})
	a.mode = stopDrain
	_, _, err = a.resize(1)
	require.ErrorContains(t, err, "stopping")
}
