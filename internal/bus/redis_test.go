package bus_test

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/bus/bustest"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/redisconn"
	"github.com/llmctl/studio/internal/testkit/redistest"
)

// quick notices trouble within a second.
func quick() bus.RedisOptions {
	return bus.RedisOptions{
		CanaryEvery: 50 * time.Millisecond, CanaryPatience: 500 * time.Millisecond,
		SendTimeout: 300 * time.Millisecond, Backoff: 10 * time.Millisecond,
	}
}

func newRedis(t *testing.T, url string, o bus.RedisOptions) *bus.Redis {
	t.Helper()
	address, err := redisconn.Parse(url)
	require.NoError(t, err)
	return bus.NewRedis(address, o)
}

func redisDriver(url func(t *testing.T) string) bustest.Driver {
	return bustest.Driver{MaxEnvelope: 32 << 10, Cluster: func(t *testing.T, n int) []bus.Bus {
		t.Helper()
		u := url(t)
		out := make([]bus.Bus, n)
		for i := range out {
			out[i] = newRedis(t, u, bus.RedisOptions{})
		}
		return out
	}}
}

func withPrefix(u string) string {
	mark := "?"
	if strings.Contains(u, "?") {
		mark = "&"
	}
	return u + mark + "channel_prefix=" + redistest.Name()
}

func TestRedis(t *testing.T) {
	t.Parallel()
	bustest.Run(t, redisDriver(func(t *testing.T) string { t.Helper(); return redistest.URL(t) }))
}

func TestRedisWithPasswordAndTLS(t *testing.T) {
	t.Parallel()
	s, ca := redistest.StartTLS(t, "--requirepass", "a b%/@:#ü")
	secret := strings.Replace(s.URL(), "rediss://", "rediss://:"+url.PathEscape("a b%/@:#ü")+"@", 1)
	bustest.Run(t, redisDriver(func(*testing.T) string { return withPrefix(secret + "?ca_file=" + ca) }))
	t.Run("an unknown authority is refused", func(t *testing.T) {
		t.Parallel()
		refused(t, secret, "certificate")
	})
	t.Run("skip_verify takes any", func(t *testing.T) {
		t.Parallel()
		bustest.Start(t, newRedis(t, withPrefix(secret+"?skip_verify=true"), quick()))
	})
	t.Run("a wrong password is refused", func(t *testing.T) {
		t.Parallel()
		refused(t, strings.Replace(s.URL(), "rediss://", "rediss://:wrong@", 1)+"?ca_file="+ca, "WRONGPASS")
	})
}

// refused starts a bus and waits until it says why it is not healthy, on one of its
// tries: on a busy machine some end for want of time.
func refused(t *testing.T, url, why string) *bus.Redis {
	t.Helper()
	b := newRedis(t, url, quick())
	bustest.Start(t, b)
	require.Eventually(t, func() bool { return strings.Contains(b.Health().Reason, why) }, bustest.Patience, time.Millisecond, "%s", b.Health().Reason)
	return b
}

func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	g := redistest.StartSentinel(t)
	bustest.Run(t, redisDriver(func(*testing.T) string { return withPrefix(g.URL()) }))
}

func TestRedisFollowsAFailover(t *testing.T) {
	t.Parallel()
	g := redistest.StartSentinel(t)
	a, b := newRedis(t, g.URL(), quick()), newRedis(t, g.URL(), quick())
	bustest.Start(t, a)
	bustest.Start(t, b)
	g.Master.Kill(t)
	awaitUnhealthy(t, a, b)
	awaitCarries(t, a, b)
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	_, u := redistest.StartCluster(t)
	bustest.Run(t, redisDriver(func(*testing.T) string { return withPrefix(u) }))
}

func TestRedisClusterLosesANode(t *testing.T) {
	t.Parallel()
	nodes, u := redistest.StartCluster(t)
	a, b := newRedis(t, u, quick()), newRedis(t, u, quick())
	bustest.Start(t, a)
	bustest.Start(t, b)
	slices.SortFunc(nodes, func(x, y *redistest.Server) int { return strings.Compare(x.Addr(), y.Addr()) })
	nodes[0].Kill(t) // the one that both use
	awaitUnhealthy(t, a, b)
	awaitCarries(t, a, b)
}

func awaitUnhealthy(t *testing.T, buses ...*bus.Redis) {
	t.Helper()
	for _, b := range buses {
		require.Eventually(t, func() bool { return !b.Health().OK }, bustest.Patience, time.Millisecond)
	}
}

// awaitCarries waits until both are healthy, and proves it.
func awaitCarries(t *testing.T, a, b *bus.Redis) {
	t.Helper()
	for _, one := range []*bus.Redis{a, b} {
		require.Eventually(t, func() bool { return one.Health().OK }, bustest.Patience, 5*time.Millisecond, "%+v", one.Health())
	}
	heard := make(chan int64, 1000)
	defer b.Subscribe(func(h bus.Hint) {
		if h.Stream == "proof:1" {
			select {
			case heard <- h.Sequence:
			default:
			}
		}
	})()
	n := int64(0)
	require.Eventually(t, func() bool {
		n++
		a.Publish([]event.Stored{bustest.Event("proof:1", n, `{}`)})
		return len(heard) > 0
	}, bustest.Patience, 20*time.Millisecond)
}

func TestRedisComesBack(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, s *redistest.Server) (undo func()){
		"killed": func(t *testing.T, s *redistest.Server) func() {
			t.Helper()
			s.Kill(t)
			return func() { s.Restart(t) }
		},
		"frozen": func(t *testing.T, s *redistest.Server) func() {
			t.Helper()
			s.Freeze(t)
			return func() { s.Thaw(t) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			a, b := newRedis(t, s.URL(), quick()), newRedis(t, s.URL(), quick())
			bustest.Start(t, a)
			bustest.Start(t, b)
			missed := make(chan bus.Hint, 100)
			t.Cleanup(b.Subscribe(func(h bus.Hint) {
				if h.Stream == "" {
					missed <- h
				}
			}))
			undo := harm(t, s)
			for _, one := range []*bus.Redis{a, b} {
				require.Eventually(t, func() bool { return strings.HasPrefix(one.Health().Reason, "not subscribed") }, bustest.Patience, time.Millisecond)
			}
			a.Publish([]event.Stored{bustest.Event("a:1", 1, `{}`)}) // does not wait
			undo()
			awaitCarries(t, a, b)
			bustest.Receive(t, missed) // told to look at the log
			require.Positive(t, b.Health().Reconnects)
		})
	}
}

func TestRedisFlushedCarriesOn(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := newRedis(t, s.URL(), quick()), newRedis(t, s.URL(), quick())
	bustest.Start(t, a)
	bustest.Start(t, b)
	require.NoError(t, s.Client(t).FlushAll(t.Context()).Err())
	awaitCarries(t, a, b)
	require.Zero(t, b.Health().Reconnects)
}

func TestRedisNeedNotBeThereAtTheStart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Kill(t)
	a, b := newRedis(t, s.URL(), quick()), newRedis(t, s.URL(), quick())
	bustest.Start(t, a) // is ready all the same
	bustest.Start(t, b)
	require.False(t, a.Health().OK)
	require.Eventually(t, func() bool { return strings.Contains(a.Health().Reason, "connection refused") }, bustest.Patience, time.Millisecond)
	s.Restart(t)
	awaitCarries(t, a, b)
}

func TestRedisSaysWhoIsAway(t *testing.T) {
	t.Parallel()
	b := refused(t, "redis://someone:s3cret@127.0.0.1:1/4", "redis://127.0.0.1:1/4")
	require.NotContains(t, b.Health().Reason, "s3cret")
}

// proxy stands between a bus and Redis and can swallow what passes.
type proxy struct {
	net.Listener
	target string
	mu     sync.Mutex
	cut    bool
	conns  []net.Conn
	wg     sync.WaitGroup
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{Listener: l, target: target}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		in, err := p.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(in, out) })
		p.wg.Go(func() { p.copy(out, in) })
	}
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		lost := p.cut
		p.mu.Unlock()
		if lost {
			continue // what is lost here no TCP will bring again, so the connection is spoilt
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) partition(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
}

func TestRedisBehindAPartition(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := startProxy(t, s.Addr())
	near, far := newRedis(t, s.URL(), quick()), newRedis(t, "redis://"+p.Addr().String(), quick())
	bustest.Start(t, near)
	bustest.Start(t, far)
	p.partition(true)
	awaitUnhealthy(t, far)
	require.True(t, near.Health().OK, "%+v", near.Health())
	p.partition(false)
	awaitCarries(t, near, far)
	awaitCarries(t, far, near)
}

// The user has what docs/operations/redis.md says is enough, and nothing else.
func TestRedisWithTheRightsThatTheDocumentationNames(t *testing.T) {
	t.Parallel()
	rules := "studio on >s3cret resetchannels &llmctl:* &socket.io* &flask-socketio -@all " +
		"+publish +subscribe +psubscribe +ping +hello +client +select +cluster|slots +cluster|shards"
	s := redistest.Start(t, append([]string{"--user"}, strings.Fields(rules)...)...)
	u := strings.Replace(s.URL(), "redis://", "redis://studio:s3cret@", 1)
	u = strings.Replace(u, "/0", "/3", 1)
	a, b := newRedis(t, u, quick()), newRedis(t, u, quick())
	bustest.Start(t, a)
	bustest.Start(t, b)
	awaitCarries(t, a, b)
	refused(t, u+"?channel_prefix=other", "NOPERM")
}
