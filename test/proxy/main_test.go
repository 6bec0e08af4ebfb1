package proxy

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/proctest"
)

const (
	patience = 60 * time.Second
	email    = "ada@example.com"
	password = "correct horse battery"
)

// binary is the program as built by `make build`.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/llmctl")
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "run `make build` first")
	return path
}

// process is one that runs until the test ends.
type process struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	log    *proctest.Output
}

// start runs a process until the test ends; its end by SIGTERM must be a good one.
func start(t *testing.T, environ []string, name string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(name, args...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "LLMCTL_") && !strings.HasPrefix(pair, "GUNICORN_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env, environ...)
	log := &proctest.Output{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		if t.Failed() {
			t.Logf("%s %s:\n%s", filepath.Base(name), strings.Join(args, " "), log)
		}
		require.NoError(t, err, "exit code of %s after SIGTERM\n%s", name, log)
	})
	return &process{cmd: cmd, stdout: bufio.NewReader(out), log: log}
}

// ready reads lines until a program of ours says where it is.
func (p *process) ready(t *testing.T) string {
	t.Helper()
	found := make(chan string, 1)
	go func() {
		defer close(found)
		for {
			line, err := p.stdout.ReadString('\n')
			if address, ok := strings.CutPrefix(line, "ready: "); ok {
				found <- strings.TrimSpace(address)
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case address, ok := <-found:
		require.True(t, ok, "it ended before it was ready:\n%s", p.log)
		return address
	case <-time.After(patience):
		t.Fatalf("it is not ready:\n%s", p.log)
		return ""
	}
}

// serve starts llmctl serve on a database of its own and gives what proxies call an
// upstream: host:port, or unix:/path.
func serve(t *testing.T, environ []string, args ...string) string {
	t.Helper()
	_, address := startServe(t, environ, args...)
	return address
}

func startServe(t *testing.T, environ []string, args ...string) (p *process, address string) {
	t.Helper()
	p = start(t, append([]string{
		"LLMCTL_STUDIO_DATABASE_URI=" + pgtest.URI(t), "LLMCTL_STUDIO_DATA_DIR=" + t.TempDir(),
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_ADMIN_EMAIL=" + email,
		"LLMCTL_STUDIO_ADMIN_PASSWORD=" + password, "LLMCTL_STUDIO_INTERNAL_BIND=off", "GUNICORN_CONTROL_SOCKET_DISABLE=true",
		"GUNICORN_WORKERS=2", "GUNICORN_BIND=127.0.0.1:0", "LLMCTL_STUDIO_PROXY_FIX_ENABLED=true",
	}, environ...), binary(t), append([]string{"serve"}, args...)...)
	return p, upstream(p.ready(t))
}

// upstream takes the address out of a URL.
func upstream(address string) string {
	address = strings.TrimPrefix(strings.TrimPrefix(address, "http://"), "https://")
	return strings.TrimSuffix(strings.TrimSuffix(address, "/web"), "/api")
}

// frontend starts llmctl frontend before a backend.
func frontend(t *testing.T, backend string, environ ...string) string {
	t.Helper()
	_, address := startFrontend(t, backend, environ...)
	return address
}

func startFrontend(t *testing.T, backend string, environ ...string) (p *process, address string) {
	t.Helper()
	p = start(t, append([]string{
		"LLMCTL_STUDIO_FRONTEND_BIND=127.0.0.1:0", "LLMCTL_STUDIO_BACKEND_URL=" + backend,
	}, environ...), binary(t), "frontend")
	return p, upstream(p.ready(t))
}

// sample reads a sample configuration and replaces what differs here. Everything
// that is to be replaced must be there.
func sample(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../docs/operations/proxies", name))
	require.NoError(t, err)
	for i := 0; i < len(pairs); i += 2 {
		require.Contains(t, string(raw), pairs[i], name)
	}
	return strings.NewReplacer(pairs...).Replace(string(raw))
}

// listening waits until something accepts at an address.
func listening(t *testing.T, address string, log *proctest.Output) {
	t.Helper()
	deadline := time.Now().Add(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		require.True(t, time.Now().Before(deadline), "nobody listens on %s:\n%s", address, log)
		<-again.C
	}
}

// nginx runs nginx with a server of ours in its http block.
func nginx(t *testing.T, server, port string) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
	}
	dir := t.TempDir()
	config := "user root;\ndaemon off;\nworker_processes 1;\npid " + dir + "/pid;\nerror_log stderr warn;\nevents { worker_connections 256; }\n" +
		"http {\naccess_log off;\n"
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		config += temp + "_temp_path " + dir + "/" + temp + ";\n"
	}
	path := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(path, []byte(config+server+"\n}\n"), 0o600))
	p := start(t, nil, program, "-p", dir, "-e", "stderr", "-c", path)
	listening(t, "127.0.0.1:"+port, p.log)
}

// authority makes the certificates of a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &authority{t: t, dir: t.TempDir(), key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.file = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	require.NoError(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// issue writes a certificate for a name, and for this machine, with its key.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	require.NoError(a.t, err)
	raw, err := x509.MarshalECPrivateKey(k)
	require.NoError(a.t, err)
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "EC PRIVATE KEY", raw)
}

func (a *authority) trust() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool}
}

// lookCaddy finds Caddy, which is not everywhere where the tests run.
func lookCaddy(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("caddy")
	if err != nil {
		t.Skip("Caddy is not installed (apt-get install caddy)")
	}
	return program
}

// caddy runs Caddy with a site of ours and nothing that reaches out.
func caddy(t *testing.T, program, site, port string) {
	t.Helper()
	dir := t.TempDir()
	config := "{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system " + dir + "\n}\n" + site
	path := filepath.Join(dir, "Caddyfile")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	p := start(t, []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_DATA_HOME=" + dir}, program, "run", "--config", path, "--adapter", "caddyfile")
	listening(t, "127.0.0.1:"+port, p.log)
}

// failing runs llmctl serve that must not start, and gives what it says.
func failing(t *testing.T, environ ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), "serve")
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "LLMCTL_STUDIO_DATABASE_URI=" + pgtest.URI(t), "LLMCTL_STUDIO_DATA_DIR=" + t.TempDir(),
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_INTERNAL_BIND=off",
		"GUNICORN_BIND=127.0.0.1:0", "GUNICORN_CONTROL_SOCKET_DISABLE=true",
	}, environ...)
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	return string(out)
}
