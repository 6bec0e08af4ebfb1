package kubernetes_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	kube "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

// control is an API server with its etcd and nothing else: no controllers, so that a
// Job makes no pods, and a test plays their part.
type control struct {
	t          *testing.T
	bin, dir   string
	url, token string
	etcd       string
	api        *exec.Cmd
}

func newControl(t *testing.T) *control {
	t.Helper()
	bin := filepath.Join(kubetest.Rig(t, "its API server and etcd are started on their own").Dir(), "bin")
	c := &control{t: t, bin: bin, dir: t.TempDir(), token: "admin-of-the-test"}
	c.etcd = "http://" + free(t)
	peer := "http://" + free(t)
	c.start("etcd", "--data-dir", filepath.Join(c.dir, "etcd"), "--listen-client-urls", c.etcd, "--advertise-client-urls", c.etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--unsafe-no-fsync", "--log-level", "error")
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, "tokens"), []byte(c.token+",admin,1,system:masters\n"), 0o600))
	c.key()
	c.url = "https://" + free(t)
	c.serve()
	return c
}

func free(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// key makes the key that the API server signs tokens of service accounts with.
func (c *control) key() {
	c.t.Helper()
	out, err := exec.CommandContext(c.t.Context(), "openssl", "genrsa", "-out", filepath.Join(c.dir, "sa.key"), "2048").CombinedOutput()
	require.NoError(c.t, err, "%s", out)
}

func (c *control) start(name string, arguments ...string) *exec.Cmd {
	c.t.Helper()
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	require.NoError(c.t, err)
	cmd := exec.Command(filepath.Join(c.bin, name), arguments...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(c.t, cmd.Start())
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if c.t.Failed() {
			raw, _ := os.ReadFile(log.Name())
			c.t.Logf("the end of %s's log:\n%s", name, raw[max(0, len(raw)-2000):])
		}
	})
	return cmd
}

func (c *control) serve() {
	c.t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(c.url, "https://"))
	require.NoError(c.t, err)
	c.api = c.start("kube-apiserver", "--etcd-servers", c.etcd, "--bind-address", "127.0.0.1", "--secure-port", port,
		"--cert-dir", filepath.Join(c.dir, "certs"), "--token-auth-file", filepath.Join(c.dir, "tokens"), "--authorization-mode", "RBAC",
		"--service-account-issuer", "https://test", "--service-account-key-file", filepath.Join(c.dir, "sa.key"), "--service-account-signing-key-file", filepath.Join(c.dir, "sa.key"),
		"--service-cluster-ip-range", "10.96.0.0/16", "--disable-admission-plugins", "ServiceAccount", "--advertise-address", "127.0.0.1")
	client := c.client()
	kubetest.Eventually(c.t, time.Minute, "the API server", func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// kill ends the API server as a crash does.
func (c *control) kill() {
	c.t.Helper()
	require.NoError(c.t, c.api.Process.Kill())
	_ = c.api.Wait()
}

func (c *control) config() *rest.Config {
	return &rest.Config{Host: c.url, BearerToken: c.token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: 1000, Burst: 2000}
}

func (c *control) client() kube.Interface {
	c.t.Helper()
	client, err := kube.NewForConfig(c.config())
	require.NoError(c.t, err)
	return client
}

// kubeconfig is for a dispatcher that goes straight there, or through a proxy.
func (c *control) kubeconfig(server string) []byte {
	return fmt.Appendf(nil, "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"+
		"clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]\nusers: [{name: u, user: {token: %s}}]\n", server, c.token)
}

// post reports as a pod does.
func post(t *testing.T, url, token, pod, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/executor/v1/events", strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("X-Pod-Uid", pod)
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

const (
	startedBody = `[{"v":"v1","n":1,"type":"started"}]`
	resultBody  = `[{"v":"v1","n":2,"type":"result","result":{"status":"succeeded","output_state":{}}}]`
)
