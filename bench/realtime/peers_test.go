package realtime

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// contestant is a server that does the job.
type contestant struct {
	name    string
	wire    wire
	address string
	process *process
	// publish makes the server publish; nil: it is asked to over a connection.
	publish func(o order)
	oneRoom bool // it is not measured with a room for each client
	spare   bool // it begins with more memory than it uses

	figures figures
}

// contestants are started one after the other. Which ones is up to
// BENCH_REALTIME_PEERS, a list of names; those whose programs are not here are left
// out with a word, except ours.
func contestants(b *testing.B) []*contestant {
	b.Helper()
	bin := b.TempDir()
	wanted := os.Getenv("BENCH_REALTIME_PEERS")
	if wanted == "" {
		wanted = "ours,studio,node,python,centrifuge"
	}
	var all []*contestant
	for name := range strings.SplitSeq(wanted, ",") {
		c := &contestant{name: name, wire: socketIO{}, address: free(b)}
		dir, command := "", []string(nil)
		switch name {
		case "ours":
			command = []string{build(b, "../peers/socketio", filepath.Join(bin, "ours")), c.address}
		case "studio":
			if _, err := os.Stat(studioBinary); err != nil {
				b.Log("the whole program is left out:", err)
				continue
			}
			all = append(all, wholeProgram(b))
			continue
		case "node":
			dir = nodeDir
			if !available(b, "node") {
				continue
			}
			installNode(b)
			command = []string{"node", "server.js", c.address}
		case "python":
			dir = "../peers/socketio-python"
			if !available(b, "gunicorn") || exec.CommandContext(b.Context(), "/usr/bin/python3", "-c", "import socketio, geventwebsocket").Run() != nil {
				b.Log("python-socketio is not installed: apt-get install gunicorn python3-socketio python3-gevent-websocket")
				continue
			}
			command = []string{
				"gunicorn", "-k", "geventwebsocket.gunicorn.workers.GeventWebSocketWorker", "-w", "1", "-b", c.address,
				"--worker-connections", "20000", "--log-level", "critical", "app:app",
			}
		case "centrifuge":
			c.wire = centrifugal{}
			command = []string{build(b, "../peers/centrifuge", filepath.Join(bin, "centrifuge")), c.address}
		default:
			require.Fail(b, "no such peer", name)
		}
		c.process = start(b, dir, nil, command...)
		all = append(all, c)
	}
	for _, c := range all {
		c.ready(b)
	}
	return all
}

// wholeProgram is llmctl serve with one worker, to compare with servers of one process.
func wholeProgram(b *testing.B) *contestant {
	b.Helper()
	s, _ := startStudio(b, 1)
	return &contestant{
		name: "studio", wire: studioWire{key: s.key}, address: s.address, process: s.process, oneRoom: true, spare: true,
		publish: func(o order) { s.append(b, commitStream, o) },
	}
}

const nodeDir = "../peers/socketio-node"

func installNode(b *testing.B) {
	b.Helper()
	if _, err := os.Stat(filepath.Join(nodeDir, "node_modules")); err == nil {
		return
	}
	install := exec.CommandContext(b.Context(), "npm", "ci", "--no-audit", "--no-fund")
	install.Dir = nodeDir
	out, err := install.CombinedOutput()
	require.NoError(b, err, "%s", out)
}

func available(b *testing.B, program string) bool {
	b.Helper()
	_, err := exec.LookPath(program)
	if err != nil {
		b.Log(program, "is not installed, its server is left out")
	}
	return err == nil
}

func build(b *testing.B, dir, to string) string {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "go", "build", "-o", to, ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(b, err, "%s", out)
	return to
}

func free(b *testing.B) string {
	b.Helper()
	ln, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// ready waits until clients can enter, which also brings the server's code in.
func (c *contestant) ready(b *testing.B) {
	b.Helper()
	require.Eventually(b, func() bool {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		one, err := dial(ctx, c.address, c.wire, "")
		if err == nil {
			_ = one.conn.Close()
		}
		return err == nil
	}, 30*time.Second, 50*time.Millisecond, "%s does not answer", c.name)
}
