package serve

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wire is a connection on which a test says every byte itself.
type wire struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (s *stack) dial() *wire {
	s.t.Helper()
	c, err := net.DialTimeout("tcp", s.address, patience)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	require.NoError(s.t, c.SetDeadline(time.Now().Add(patience)))
	return &wire{t: s.t, conn: c, in: bufio.NewReader(c)}
}

func (w *wire) send(text string) {
	w.t.Helper()
	_, err := io.WriteString(w.conn, text)
	require.NoError(w.t, err)
}

func (w *wire) answer() (*http.Response, error) {
	resp, err := http.ReadResponse(w.in, nil)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	return resp, err
}

// held is a request that is worked until its body comes to its end.
func (s *stack) held() *wire {
	s.t.Helper()
	w := s.dial()
	w.send("POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{")
	return w
}

// silent proves that nothing comes for a while.
func (w *wire) silent(d time.Duration) {
	w.t.Helper()
	require.NoError(w.t, w.conn.SetReadDeadline(time.Now().Add(d)))
	_, err := w.in.Peek(1)
	require.ErrorIs(w.t, err, os.ErrDeadlineExceeded)
	require.NoError(w.t, w.conn.SetDeadline(time.Now().Add(patience)))
}

const getHealth = "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"

func TestBindOpensSeveralAddresses(t *testing.T) {
	t.Parallel()
	s := prepare(t, nil)
	path := s.path("s")
	second := strings.Replace(s.address, "127.", "127.2", 1) // 127.2xx. is another one
	if net.ParseIP(strings.Split(second, ":")[0]) == nil {
		second = "127.0.0.1:" + strings.Split(s.address, ":")[1]
	}
	s.env["GUNICORN_BIND"] = s.address + "," + second + ",unix:" + path
	s.start()
	s.health()
	for network, address := range map[string]string{"tcp": second, "unix": path} {
		c, err := net.Dial(network, address)
		require.NoError(t, err)
		_, err = io.WriteString(c, getHealth)
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		_ = c.Close()
	}
	s.stop()
	require.NoFileExists(t, path)
}

func TestWorkersAndEnvFileAreReadAgainOnHup(t *testing.T) {
	t.Parallel()
	s := prepare(t, nil)
	delete(s.env, "GUNICORN_WORKERS")
	file := s.path("studio.env")
	require.NoError(t, os.WriteFile(file, []byte("GUNICORN_WORKERS=1\n"), 0o600))
	s.env["GUNICORN_TIMEOUT"] = "20"
	s.args = []string{"--env-file", file}
	s.start()
	old := s.settle(1)
	require.NoError(t, os.WriteFile(file, []byte("GUNICORN_WORKERS=3\n"), 0o600))
	s.signal(syscall.SIGHUP)
	require.NotContains(t, s.settle(3), old[0])
	require.NoError(t, os.WriteFile(file, []byte("GUNICORN_WORKERS=many\n"), 0o600))
	s.signal(syscall.SIGHUP)
	s.logged("reload refused")
	require.Contains(t, s.log(), "GUNICORN_WORKERS")
	s.health()
	s.stop()
}

func TestThreadsBoundTheWork(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"GUNICORN_WORKERS": "1", "GUNICORN_THREADS": "1"})
	s.signIn()
	h := s.held()
	s.eventually("the held request has the thread", func() bool {
		cmd := exec.Command(binary(t), "ctl", "--json", "show", "connections")
		cmd.Env = s.environ()
		out, err := cmd.Output()
		return err == nil && strings.Contains(strings.ReplaceAll(string(out), " ", ""), `"active":1`)
	})
	var waiting []*wire
	const line, more = 64, 5
	statuses := make(chan int, line+more)
	for range line + more {
		w := s.dial()
		waiting = append(waiting, w)
		w.send("GET /api/flowcharts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + s.key + "\r\nConnection: close\r\n\r\n")
		go func() {
			resp, err := w.answer()
			if err != nil {
				statuses <- 0
				return
			}
			statuses <- resp.StatusCode
		}()
	}
	for range more {
		require.Equal(t, 503, <-statuses, "the line is full")
	}
	s.health() // takes no thread
	require.Empty(t, statuses, "the others wait")
	h.send("}")
	for range line {
		require.Equal(t, 200, <-statuses)
	}
	require.Len(t, waiting, line+more)
	s.stop()
}

func TestWorkerClassIsAcceptedAndAnUnknownOneRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"GUNICORN_WORKER_CLASS": "gevent"})
	s.health()
	s.stop()
	require.Equal(t, 1, strings.Count(s.log(), "GUNICORN_WORKER_CLASS is accepted for compatibility"), "said once")
	s.env["GUNICORN_WORKER_CLASS"] = "uvicorn"
	cmd := exec.Command(binary(t), "serve")
	cmd.Env = s.environ()
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 2, failed.ExitCode())
	require.Contains(t, string(out), "GUNICORN_WORKER_CLASS")
}

func TestWorkerConnectionsMakeFurtherOnesWait(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"GUNICORN_WORKERS": "1", "GUNICORN_WORKER_CONNECTIONS": "2", "GUNICORN_KEEPALIVE": "60"})
	var open []*wire
	for range 2 {
		w := s.dial()
		w.send(getHealth)
		_, err := w.answer()
		require.NoError(t, err)
		open = append(open, w)
	}
	third := s.dial()
	third.send(getHealth)
	third.silent(500 * time.Millisecond)
	require.NoError(t, open[0].conn.Close())
	resp, err := third.answer()
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	for _, w := range append(open, third) { // else the stop waits for them
		_ = w.conn.Close()
	}
	s.stop()
}

func TestTimeoutReplacesAStuckWorker(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"GUNICORN_TIMEOUT": "4"})
	victim := s.settle(2)[0]
	began := time.Now()
	require.NoError(t, syscall.Kill(victim, syscall.SIGSTOP))
	s.logged("worker is stuck and is replaced")
	require.Greater(t, time.Since(began), 2*time.Second)
	s.eventually("others", func() bool { return fresh([]int{victim}, s.workers()) })
	s.health()
	s.stop()
}

func TestGracefulTimeoutBoundsTheStop(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"GUNICORN_GRACEFUL_TIMEOUT": "2", "GUNICORN_WORKERS": "1"})
	h := s.held()
	s.eventually("the request is being worked", func() bool { s.health(); return true })
	began := time.Now()
	s.signal(syscall.SIGTERM)
	require.Equal(t, 0, s.ended())
	took := time.Since(began)
	require.Greater(t, took, 1500*time.Millisecond)
	require.Less(t, took, 25*time.Second, "the default would be 30 s")
	s.logged("cut off")
	_, err := h.answer()
	require.Error(t, err)
	s.gone()
}

func TestKeepaliveEndsIdleConnections(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"GUNICORN_KEEPALIVE": "1"})
	w := s.dial()
	w.send(getHealth)
	_, err := w.answer()
	require.NoError(t, err)
	w.silent(500 * time.Millisecond)
	_, err = w.in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	s.stop()
}

func TestLogLevel(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"GUNICORN_LOG_LEVEL": "error"})
	s.health()
	s.stop()
	require.NotContains(t, s.log(), `"level":"INFO"`)
	s = newStack(t, map[string]string{"GUNICORN_LOG_LEVEL": "info"})
	s.stop()
	require.Contains(t, s.log(), `"level":"INFO"`)
}

func TestLogsGoToFilesAndAreReopenedOnUsr1(t *testing.T) {
	t.Parallel()
	s := prepare(t, nil)
	access, program := s.path("access.log"), s.path("error.log")
	s.env["GUNICORN_ERROR_LOG"] = program
	s.start()
	s.health()
	s.eventually("the request in the access log", func() bool { return strings.Contains(s.read("access.log"), "/api/health") })
	require.Contains(t, s.read("error.log"), "worker serves")
	for _, f := range []string{access, program} {
		require.NoError(t, os.Rename(f, f+".1"))
	}
	s.signal(syscall.SIGUSR1)
	s.eventually("new files with new lines", func() bool {
		s.health()
		return strings.Contains(s.read("access.log"), "/api/health") && strings.Contains(s.read("error.log"), "log file is reopened")
	})
	s.stop()
}

func TestAccessLogFormat(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"GUNICORN_ACCESS_LOG_FORMAT": `LINE %(m)s %(U)s %(s)s`})
	s.health()
	s.eventually("the line", func() bool { return strings.Contains(s.read("access.log"), "LINE GET /api/health 200\n") })
	s.stop()
	s = newStack(t, nil)
	s.health()
	s.stop()
	line, _, _ := strings.Cut(s.read("access.log"), "\n")
	require.True(t, json.Valid([]byte(line)), line)
}

var pidOfLine = regexp.MustCompile(`"pid":(\d+)`)

func TestMaxRequestsReplacesWorkers(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"GUNICORN_WORKERS": "1", "GUNICORN_MAX_REQUESTS": "10"})
	first := s.settle(1)
	s.eventually("another worker", func() bool {
		s.health() // none fails
		w := s.workers()
		return len(w) == 1 && w[0] != first[0]
	})
	s.stop()
	perWorker := map[string]int{}
	for _, m := range pidOfLine.FindAllStringSubmatch(s.read("access.log"), -1) {
		perWorker[m[1]]++
	}
	require.GreaterOrEqual(t, perWorker[fmt.Sprint(first[0])], 10)
}

func TestMaxRequestsJitterPutsTheReplacementOff(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"GUNICORN_WORKERS": "1", "GUNICORN_MAX_REQUESTS": "1", "GUNICORN_MAX_REQUESTS_JITTER": "1000000"})
	first := s.settle(1)
	for range 10 { // one in a hundred thousand would be replaced
		s.health()
	}
	s.signal(syscall.SIGUSR1) // the master has seen all that came before
	require.Equal(t, first, s.workers())
	require.NotContains(t, s.log(), "max_requests")
	s.stop()
}

func TestControlSocket(t *testing.T) {
	t.Parallel()
	s := newStack(t, nil)
	info, err := os.Stat(filepath.Join(s.env["LLMCTL_STUDIO_DATA_DIR"], "gunicorn.ctl"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	s.stop()

	path := s.path("other.ctl")
	s = newStack(t, map[string]string{"GUNICORN_CONTROL_SOCKET": path, "GUNICORN_CONTROL_SOCKET_MODE": "0660"})
	info, err = os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	cmd := exec.Command(binary(t), "ctl", "--json", "worker", "add", "1")
	cmd.Env = s.environ()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	s.settle(3)
	s.stop()

	s = newStack(t, map[string]string{"GUNICORN_CONTROL_SOCKET_DISABLE": "true"})
	require.NoFileExists(t, filepath.Join(s.env["LLMCTL_STUDIO_DATA_DIR"], "gunicorn.ctl"))
	s.stop()
}

func TestWithoutAnArbiterThereIsOneProcess(t *testing.T) {
	t.Parallel()
	s := newStack(t, map[string]string{"LLMCTL_STUDIO_USE_GUNICORN": "false"})
	s.health()
	require.Len(t, s.processes(), 1)
	s.stop()
}

func TestTLSAndClientCertificates(t *testing.T) {
	t.Parallel()
	s := prepare(t, nil)
	ca := newAuthority(t, s.dir)
	cert, key := ca.issue(t, "server", net.ParseIP(strings.Split(s.address, ":")[0]))
	s.env["GUNICORN_CERTFILE"], s.env["GUNICORN_KEYFILE"] = cert, key
	s.start()
	require.Contains(t, s.read("out"), "ready: https://")
	require.NoError(t, s.ask(&tls.Config{RootCAs: ca.pool}))
	_, _, err := s.request("GET", "/api/health", nil)
	if err == nil { // Go's server answers plain HTTP with 400
		status, _, _ := s.request("GET", "/api/health", nil)
		require.Equal(t, 400, status)
	}

	s.env["GUNICORN_CA_CERTS"] = ca.file
	s.stop()
	s.start()
	require.Error(t, s.ask(&tls.Config{RootCAs: ca.pool}))
	cert, key = ca.issue(t, "client", nil)
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	require.NoError(t, s.ask(&tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{pair}}))
	s.stop()
}

// ask makes a request over TLS.
func (s *stack) ask(c *tls.Config) error {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
	resp, err := client.Get("https://" + s.address + "/api/health")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// authority signs certificates.
type authority struct {
	dir, file string
	pool      *x509.CertPool
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &authority{dir: dir, key: key, pool: x509.NewCertPool(), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	raw, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(raw)
	require.NoError(t, err)
	a.pool.AddCert(a.cert)
	a.file = filepath.Join(dir, "ca.pem")
	writePEM(t, a.file, "CERTIFICATE", raw)
	return a
}

func (a *authority) issue(t *testing.T, name string, ip net.IP) (cert, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, own.Public(), a.key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(own)
	require.NoError(t, err)
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	writePEM(t, cert, "CERTIFICATE", raw)
	writePEM(t, key, "PRIVATE KEY", private)
	return cert, key
}

func writePEM(t *testing.T, path, kind string, raw []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600))
}

func TestTheServiceManagerIsToldWhoServes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	require.NoError(t, err)
	defer func() { _ = told.Close() }()
	next := func() string {
		require.NoError(t, told.SetReadDeadline(time.Now().Add(30*time.Second)))
		raw := make([]byte, 256)
		n, err := told.Read(raw)
		require.NoError(t, err)
		return string(raw[:n])
	}
	s := newStack(t, map[string]string{"NOTIFY_SOCKET": path})
	first := s.cmd.Process.Pid
	require.Equal(t, fmt.Sprintf("READY=1\nMAINPID=%d", first), next())
	s.signal(syscall.SIGUSR2)
	var second int
	_, err = fmt.Sscanf(next(), "READY=1\nMAINPID=%d", &second)
	require.NoError(t, err)
	require.NotEqual(t, first, second, "after an upgrade the new master is the one to watch")
	require.NoError(t, syscall.Kill(second, syscall.SIGTERM))
}
