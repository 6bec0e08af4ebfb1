package redistest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// StartTLS starts a server that takes only TLS, with a certificate of an authority
// made for it, and gives the authority's file.
func StartTLS(tb testing.TB, args ...string) (s *Server, caFile string) {
	tb.Helper()
	dir := tb.TempDir()
	caFile = filepath.Join(dir, "ca.pem")
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	caKey, ca := authority(tb, caFile)
	issue(tb, ca, caKey, certFile, keyFile)
	s = &Server{tls: true, dir: dir, args: append([]string{
		"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", caFile, "--tls-auth-clients", "no",
	}, args...)}
	s.run(tb)
	return s, caFile
}

func authority(tb testing.TB, file string) (*ecdsa.PrivateKey, *x509.Certificate) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	require.NoError(tb, err)
	write(tb, file, "CERTIFICATE", raw)
	return key, ca
}

func issue(tb testing.TB, ca *x509.Certificate, caKey *ecdsa.PrivateKey, certFile, keyFile string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	require.NoError(tb, err)
	write(tb, certFile, "CERTIFICATE", raw)
	rawKey, err := x509.MarshalECPrivateKey(key)
	require.NoError(tb, err)
	write(tb, keyFile, "EC PRIVATE KEY", rawKey)
}

func write(tb testing.TB, file, kind string, raw []byte) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600))
}

// Group is a master, a replica and a sentinel that fails over alone.
type Group struct {
	Master, Replica, Sentinel *Server
}

// GroupName is the name of the master in a Group.
const GroupName = "mymaster"

// StartSentinel starts a Group whose sentinel notices a dead master within a second.
func StartSentinel(tb testing.TB) *Group {
	tb.Helper()
	g := &Group{Master: Start(tb)}
	g.Replica = Start(tb, "--replicaof", "127.0.0.1 "+strconv.Itoa(g.Master.Port))
	replica := g.Replica.Client(tb)
	Await(tb, "replica follows", func(ctx context.Context) bool {
		info, err := replica.Info(ctx, "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	dir := tb.TempDir()
	port, err := freePort()
	require.NoError(tb, err)
	conf := filepath.Join(dir, "sentinel.conf")
	require.NoError(tb, os.WriteFile(conf, fmt.Appendf(nil, `bind 127.0.0.1
port %d
dir %s
sentinel monitor %s 127.0.0.1 %d 1
sentinel down-after-milliseconds %[3]s 1000
sentinel failover-timeout %[3]s 5000
`, port, dir, GroupName, g.Master.Port), 0o600))
	g.Sentinel = &Server{dir: dir, args: []string{conf, "--sentinel"}, Port: port}
	require.NoError(tb, g.Sentinel.launch(), "start a sentinel")
	tb.Cleanup(g.Sentinel.end)
	client := redis.NewSentinelClient(&redis.Options{Addr: g.Sentinel.Addr()})
	tb.Cleanup(func() { _ = client.Close() })
	Await(tb, "sentinel knows the replica", func(ctx context.Context) bool {
		replicas, err := client.Replicas(ctx, GroupName).Result()
		return err == nil && len(replicas) == 1 && !strings.Contains(replicas[0]["flags"], "down") && replicas[0]["master-link-status"] == "ok"
	})
	return g
}

// URL gives the group's address.
func (g *Group) URL() string {
	return fmt.Sprintf("redis-sentinel://%s/%s/0", g.Sentinel.Addr(), GroupName)
}

// slots is how many a Cluster has in all.
const slots = 16384

// StartCluster starts a Cluster of three masters and gives them and the address.
func StartCluster(tb testing.TB) (nodes []*Server, url string) {
	tb.Helper()
	for range 3 {
		nodes = append(nodes, Start(tb, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"))
	}
	hosts := make([]string, 0, len(nodes))
	for i, n := range nodes {
		c := n.Client(tb)
		first, last := i*slots/len(nodes), (i+1)*slots/len(nodes)-1
		require.NoError(tb, c.ClusterAddSlotsRange(tb.Context(), first, last).Err())
		require.NoError(tb, c.ClusterMeet(tb.Context(), "127.0.0.1", strconv.Itoa(nodes[0].Port)).Err())
		hosts = append(hosts, n.Addr())
	}
	for _, n := range nodes {
		c := n.Client(tb)
		Await(tb, "cluster is whole", func(ctx context.Context) bool {
			info, err := c.ClusterInfo(ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return nodes, "redis-cluster://" + strings.Join(hosts, ",")
}
