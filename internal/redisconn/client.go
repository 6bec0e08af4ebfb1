package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// poolSize is enough: a user sends from one goroutine, and subscriptions have
// connections of their own.
const poolSize = 4

// quiet keeps the library from writing its own lines to standard error; whatever
// goes wrong comes back as an error and is logged by whoever asked.
//
//nolint:gochecknoglobals // the library's logger is one for the whole process
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

// Printf implements the library's logger.
func (silence) Printf(context.Context, string, ...any) {}

// Client makes a client, which connects when it is used. timeout bounds a
// connect, a write and a read each; a context's deadline counts as well.
func (a *Address) Client(timeout time.Duration) (redis.UniversalClient, error) {
	quiet()
	secure, err := a.secure.config()
	if err != nil {
		return nil, err
	}
	switch a.Kind {
	case Sentinel:
		return redis.NewFailoverClient(a.failover(timeout, secure)), nil
	case Cluster:
		return redis.NewClusterClient(a.cluster(timeout, secure)), nil
	default:
		return redis.NewClient(a.single(timeout, secure)), nil
	}
}

// noNotifications: announcements of a hosted Redis about its maintenance are of
// no use where a connection is remade at any time.
func noNotifications() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

func (a *Address) single(timeout time.Duration, secure *tls.Config) *redis.Options {
	if secure != nil && secure.ServerName == "" {
		secure.ServerName, _, _ = net.SplitHostPort(a.Hosts[0])
	}
	return &redis.Options{
		Addr: a.Hosts[0], Username: a.Username, Password: a.Password, DB: a.DB, ClientName: a.clientName,
		TLSConfig: secure, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
		PoolSize: poolSize, PipelinePoolSize: -1, MaintNotificationsConfig: noNotifications(),
	}
}

func (a *Address) failover(timeout time.Duration, secure *tls.Config) *redis.FailoverOptions {
	return &redis.FailoverOptions{
		MasterName: a.Master, SentinelAddrs: a.Hosts, SentinelUsername: a.sentinelUsername, SentinelPassword: a.sentinelPassword,
		Username: a.Username, Password: a.Password, DB: a.DB, ClientName: a.clientName,
		TLSConfig: secure, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
		PoolSize: poolSize, PipelinePoolSize: -1,
	}
}

func (a *Address) cluster(timeout time.Duration, secure *tls.Config) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs: a.Hosts, Username: a.Username, Password: a.Password, ClientName: a.clientName,
		TLSConfig: secure, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
		PoolSize: poolSize, PipelinePoolSize: -1, MaintNotificationsConfig: noNotifications(),
	}
}

// Node gives what to publish and subscribe through. Of a Cluster that is one of
// its masters, for the library spreads publishes over all of them, which breaks
// their order; each hands on to the others what it is told. Whoever finds one
// failing asks with another turn.
func Node(ctx context.Context, client redis.UniversalClient, turn int) (redis.UniversalClient, error) {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return client, nil
	}
	if turn > 0 {
		cluster.ReloadState(ctx)
	}
	var mu sync.Mutex
	var masters []*redis.Client
	err := cluster.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, master)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(masters) == 0 {
		return nil, errors.New("the cluster names no master")
	}
	slices.SortFunc(masters, func(a, b *redis.Client) int { return strings.Compare(a.Options().Addr, b.Options().Addr) })
	return masters[turn%len(masters)], nil
}
