package serving

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// longRequest is a request that lasts until its body is ended.
type longRequest struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// begin sends the head of a request and, if the endpoint answers at once, waits for
// that, so that a worker surely has it.
func (r *rig) begin(path string) *longRequest {
	r.t.Helper()
	c, err := (&net.Dialer{Timeout: patience}).DialContext(r.t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = c.Close() })
	require.NoError(r.t, c.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", path)
	require.NoError(r.t, err)
	l := &longRequest{t: r.t, conn: c, in: bufio.NewReader(c)}
	if path == "/read" {
		line, err := l.in.ReadString('\n')
		require.NoError(r.t, err)
		require.Contains(r.t, line, "200 OK")
	}
	return l
}

// end ends the body and gives the rest of the answer.
func (l *longRequest) end() (string, error) {
	l.t.Helper()
	if _, err := io.WriteString(l.conn, "0\r\n\r\n"); err != nil {
		return "", err
	}
	raw, err := io.ReadAll(l.in)
	return string(raw), err
}

// cutOff proves that the answer ends before its time.
func (l *longRequest) cutOff() {
	l.t.Helper()
	got, err := l.end()
	if err == nil {
		require.NotContains(l.t, got, "read 1")
		require.False(l.t, strings.HasSuffix(got, "\r\n0\r\n\r\n"), "the body has an end: %q", got)
	}
}

// answer ends the body and reads the whole answer, of which nothing has come yet.
func (l *longRequest) answer() (*http.Response, error) {
	l.t.Helper()
	if _, err := io.WriteString(l.conn, "0\r\n\r\n"); err != nil {
		return nil, err
	}
	return http.ReadResponse(l.in, nil)
}

func TestReloadReplacesEveryWorkerAndReadsTheSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	old := r.settle(2)
	require.Equal(t, "first", r.ask("/").Label)

	r.set.Label, r.set.Workers = "second", 3
	r.write()
	r.signal(syscall.SIGHUP)
	r.eventually("no old worker", func() bool {
		now := r.workers()
		return len(now) == 3 && !slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(old, pid) })
	})
	for range 20 {
		a := r.ask("/")
		require.Equal(t, "second", a.Label)
		require.Equal(t, r.pid(), a.Master)
		require.NotContains(t, old, a.PID)
	}
	r.stop()
}

func TestReloadThatCannotReadItsSettingsChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	old := r.settle(2)
	r.set.Refuse = "GUNICORN_WORKERS: given many"
	r.write()
	r.signal(syscall.SIGHUP)
	r.logged("reload refused")
	require.Contains(t, r.log(), "given many")
	require.Equal(t, old, r.workers())
	require.Equal(t, "first", r.ask("/").Label)

	r.set.Refuse, r.set.Label = "", "third"
	r.write()
	r.signal(syscall.SIGHUP)
	r.eventually("the next reload works", func() bool { a, err := r.try(r.url); return err == nil && a.Label == "third" })
	r.stop()
}

func TestReloadOpensNewSocketsAndClosesOldOnes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	first, second, path := r.set.Bind[0], freeAddress(t), r.path("s")
	r.set.Bind = []string{first, second, "unix:" + path}
	r.write()
	r.signal(syscall.SIGHUP)
	r.eventually("the second address answers", func() bool { _, err := r.try("http://" + second); return err == nil })
	_, err := r.try("http://" + first)
	require.NoError(t, err)
	require.NoError(t, dialUnix(path))

	r.set.Bind = []string{second}
	r.write()
	r.signal(syscall.SIGHUP)
	r.eventually("the first address is closed", func() bool { _, err := r.try("http://" + first); return err != nil })
	require.NoFileExists(t, path)
	_, err = r.try("http://" + second)
	require.NoError(t, err)
	r.stop()
}

func dialUnix(path string) error {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.Contains(line, "200") {
		err = fmt.Errorf("answer %q", line)
	}
	return err
}

func TestReloadWithATakenAddressIsRefusedAndNamesTheProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	old := r.settle(2)
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", freeAddress(t))
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	free := freeAddress(t)
	r.set.Bind = []string{r.set.Bind[0], free, taken.Addr().String()}
	r.write()
	r.signal(syscall.SIGHUP)
	r.logged("reload refused")
	require.Contains(t, r.log(), fmt.Sprintf("taken by process %d", os.Getpid()))
	require.Equal(t, old, r.workers())
	r.ask("/")
	_, err = r.try("http://" + free)
	require.Error(t, err, "what a refused reload opened is closed again")
	r.stop()
}

// Reloads that follow each other faster than workers start must not pile up processes.
func TestManyReloadsAtOnceKeepTheNumberOfProcessesBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	old := r.settle(2)
	r.fault("hang")
	most := 0
	for i := range 12 {
		r.signal(syscall.SIGHUP)
		r.logged(fmt.Sprintf("generation=%d ", i+2)) // signals of a kind that wait are merged
		most = max(most, len(r.workers()))
	}
	// Those that serve, those that start, and two generations that were given up.
	require.LessOrEqual(t, most, 8)
	require.Contains(t, old, r.ask("/").PID, "those that serve stay")
	r.fault("")
	r.set.Label = "last"
	r.write()
	r.signal(syscall.SIGHUP)
	r.eventually("the last settings serve", func() bool { a, err := r.try(r.url); return err == nil && a.Label == "last" })
	r.settle(2)
	r.stop()
}

func TestTermLetsRequestsEndAndRefusesNewOnes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	l := r.begin("/read")
	quiet := r.begin("/quiet")
	r.signal(syscall.SIGTERM)
	r.eventually("no new connection", func() bool { _, err := r.try(r.url); return err != nil })
	got, err := l.end()
	require.NoError(t, err)
	require.Contains(t, got, "read 1 <nil>")
	resp, err := quiet.answer()
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.True(t, resp.Close, "the connection ends with the answer")
	require.Equal(t, 0, r.ended())
	r.gone()
}

func TestStopsAtOnce(t *testing.T) {
	t.Parallel()
	for name, signals := range map[string][]syscall.Signal{
		"int": {syscall.SIGINT}, "quit": {syscall.SIGQUIT}, "term twice": {syscall.SIGTERM, syscall.SIGTERM},
		"term, then int": {syscall.SIGTERM, syscall.SIGINT},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *rigSettings) { s.Grace = time.Hour })
			l := r.begin("/read")
			for i, s := range signals {
				r.signal(s)
				r.logged("msg=signal", i+1)
			}
			require.Equal(t, 0, r.ended())
			r.gone()
			l.cutOff()
		})
	}
}

func TestGracefulTimeoutCutsOffWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Grace = time.Second })
	l := r.begin("/read")
	r.signal(syscall.SIGTERM)
	require.Equal(t, 0, r.ended())
	require.Contains(t, r.log(), "cut off")
	l.cutOff()
	r.gone()
}

func TestWorkersAreAddedAndTakenAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Workers = 1 })
	first := r.settle(1)
	r.signal(syscall.SIGTTIN)
	r.settle(2)
	r.signal(syscall.SIGTTIN)
	three := r.settle(3)
	require.Subset(t, three, first)
	r.signal(syscall.SIGTTOU)
	require.NotContains(t, r.settle(2), first[0], "the oldest goes first")
	for i := range 3 { // more than there are
		r.signal(syscall.SIGTTOU)
		r.logged("signal=\"stopped (tty output)\"", i+2)
	}
	last := r.settle(1)
	r.signal(syscall.SIGTTOU)
	r.logged("signal=\"stopped (tty output)\"", 5)
	require.Equal(t, last[0], r.ask("/").PID, "there is always one")
	r.stop()
}

// A worker that is added and at once one taken away must not leave a moment in
// which the only worker is one that does not serve yet.
func TestTakingAwayWaitsUntilOthersServe(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Workers = 1 })
	first := r.settle(1)
	r.fault("hang")
	r.signal(syscall.SIGTTIN)
	r.settle(2)
	r.signal(syscall.SIGTTOU)
	r.logged("signal=\"stopped (tty output)\"")
	for range 5 {
		require.Equal(t, first[0], r.ask("/").PID, "the one that serves stays")
	}
	r.fault("")
	for _, pid := range r.workers() {
		if pid != first[0] {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	r.eventually("the first is replaced", func() bool { w := r.workers(); return len(w) == 1 && w[0] != first[0] })
	r.ask("/")
	r.stop()
}

func TestUsr1ReachesMasterAndWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.signal(syscall.SIGUSR1)
	r.logged("master reopens")
	r.logged("worker reopens", 2)
	for _, pid := range r.workers() { // and to a worker alone
		require.NoError(t, syscall.Kill(pid, syscall.SIGUSR1))
	}
	r.logged("worker reopens", 4)
	r.stop()
}

func TestWinchEndsTheWorkersAndConnectionsWaitForTheNext(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.signal(syscall.SIGWINCH)
	r.settle(0)
	r.signal(syscall.SIGTTOU) // there is nothing to take away, and nothing comes of it
	r.logged("signal=\"stopped (tty output)\"")
	require.Empty(t, r.workers())
	waiting := make(chan error, 1)
	go func() { _, err := r.try(r.url); waiting <- err }()
	r.signal(syscall.SIGTTIN)
	r.settle(1)
	require.NoError(t, <-waiting, "the connection waited in the backlog")
	r.signal(syscall.SIGHUP)
	r.settle(2)
	r.stop()
}

func TestWinchMeansNothingInATerminal(t *testing.T) {
	t.Parallel()
	r := makeRig(t, nil)
	terminal := openTerminal(t)
	r.start("/bin/sh", "-c", fmt.Sprintf(`exec "$@" <%s`, terminal), "sh")
	r.logged("all serve")
	workers := r.settle(2)
	r.signal(syscall.SIGWINCH)
	r.logged("signal=\"window changed\"")
	r.ask("/")
	require.Equal(t, workers, r.workers())
	r.stop()
}

// openTerminal gives the path of a terminal that lasts as long as the test.
func openTerminal(t *testing.T) string {
	t.Helper()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	return "/dev/pts/" + strconv.Itoa(n)
}

// Signals that are the master's alone reach the workers too when somebody signals
// all of them; that must do no harm.
func TestWorkersIgnoreTheMastersSignals(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	workers := r.settle(2)
	for _, pid := range workers {
		for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGTTIN, syscall.SIGTTOU} {
			require.NoError(t, syscall.Kill(pid, s))
		}
		require.NoError(t, syscall.Kill(pid, syscall.SIGUSR1)) // answered after the others
	}
	r.logged("worker reopens", 2)
	for range 10 {
		require.Contains(t, workers, r.ask("/").PID)
	}
	require.Equal(t, workers, r.workers())
	r.stop()
}

func TestWorkerThatIsToldToGoIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	workers := r.settle(2)
	require.NoError(t, syscall.Kill(workers[0], syscall.SIGTERM))
	r.eventually("another one", func() bool { w := r.workers(); return len(w) == 2 && !slices.Contains(w, workers[0]) })
	r.stop()
}
