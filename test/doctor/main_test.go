package doctor

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/proctest"
)

const (
	patience = 60 * time.Second
	email    = "ada@example.com"
	password = "correct horse battery"
)

// binary is the program as built by make build.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/llmctl")
	require.NoError(t, err)
	require.FileExists(t, path, "run make build first")
	return path
}

// start runs a process until the test ends.
func start(t *testing.T, environ []string, name string, args ...string) (stdout *bufio.Reader, log *proctest.Output) {
	t.Helper()
	cmd := exec.Command(name, args...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "LLMCTL_") && !strings.HasPrefix(pair, "GUNICORN_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env, environ...)
	log = &proctest.Output{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%.20000s", filepath.Base(name), log)
		}
	})
	return bufio.NewReader(out), log
}

// serve starts llmctl serve and gives its host:port.
func serve(t *testing.T, uri string, environ ...string) string {
	t.Helper()
	stdout, log := start(t, append([]string{
		"LLMCTL_STUDIO_DATABASE_URI=" + uri, "LLMCTL_STUDIO_DATA_DIR=" + t.TempDir(),
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_ADMIN_EMAIL=" + email,
		"LLMCTL_STUDIO_ADMIN_PASSWORD=" + password, "LLMCTL_STUDIO_INTERNAL_BIND=off", "GUNICORN_CONTROL_SOCKET_DISABLE=true",
		"GUNICORN_BIND=127.0.0.1:0",
	}, environ...), binary(t), "serve", "--with-web")
	found := make(chan string, 1)
	go func() {
		for {
			line, err := stdout.ReadString('\n')
			if address, ok := strings.CutPrefix(line, "ready: http://"); ok {
				found <- strings.TrimSuffix(strings.TrimSpace(address), "/web")
			}
			if err != nil {
				close(found)
				return
			}
		}
	}()
	select {
	case address, ok := <-found:
		require.True(t, ok, "it ended before it was ready:\n%s", log)
		return address
	case <-time.After(patience):
		require.Fail(t, "not ready", "%s", log)
		return ""
	}
}

// apiKey signs in and makes a key.
func apiKey(t *testing.T, server string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar, Timeout: patience}
	post := func(path, body string) []byte {
		response, err := browser.Post("http://"+server+path, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Less(t, response.StatusCode, 300, string(text))
		return text
	}
	post("/api/auth/login", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password))
	var made struct {
		Key string `json:"key"`
	}
	require.NoError(t, json.Unmarshal(post("/api/api-keys", `{"name":"doctor"}`), &made))
	return made.Key
}

// nginx runs one with the given content of its http block, and waits for the ports.
func nginx(t *testing.T, content string, ports []string) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
	}
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, "daemon off;\nworker_processes 1;\npid %s/pid;\nerror_log stderr error;\nevents { worker_connections 256; }\nhttp {\naccess_log off;\n", dir)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s/%s;\n", temp, dir, temp)
	}
	b.WriteString(content + "\n}\n")
	text := b.String()
	if os.Geteuid() == 0 {
		text = "user root;\n" + text
	}
	path := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	_, log := start(t, nil, program, "-p", dir, "-e", "stderr", "-c", path)
	for _, port := range ports {
		require.Eventually(t, func() bool {
			conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
			if err != nil {
				return false
			}
			return conn.Close() == nil
		}, patience, 20*time.Millisecond, "nginx does not listen:\n%s", log)
	}
}

// authority makes certificates.
type authority struct {
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	a := &authority{dir: t.TempDir(), key: key, cert: cert, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

// lines gives nginx' certificate lines for a name.
func (a *authority) lines(t *testing.T, name string, until time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	encoded, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	file := func(ext, kind string, content []byte) string {
		path := filepath.Join(a.dir, template.SerialNumber.String()+ext)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
		return path
	}
	return "ssl_certificate " + file(".pem", "CERTIFICATE", raw) + ";\nssl_certificate_key " + file(".key", "EC PRIVATE KEY", encoded) + ";\n"
}
