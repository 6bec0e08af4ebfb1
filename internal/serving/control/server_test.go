package control_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/control"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a saved file, or saves it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o750))
		require.NoError(t, os.WriteFile(path, got, 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

// raw sends bytes and gives all that comes back until the server ends the connection or nothing more comes.
func raw(t *testing.T, path string, sent []byte) (net.Conn, []byte) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = conn.Write(sent)
	require.NoError(t, err)
	return conn, receive(t, conn)
}

func receive(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	var header [4]byte
	_, err := io.ReadFull(conn, header[:])
	require.NoError(t, err)
	payload := make([]byte, binary.BigEndian.Uint32(header[:]))
	_, err = io.ReadFull(conn, payload)
	require.NoError(t, err)
	return payload
}

func frame(payload string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

func TestAnswersHaveGunicornsMembers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, command := range []string{
		"show all", "show workers", "show dirty", "show config", "show stats", "show listeners", "show connections", "show streams",
		"worker add", "worker add 2", "worker remove", "worker remove 9", "worker kill 101", "worker kill 99", "dirty add", "dirty remove 2",
		"reload", "reopen", "drain", "shutdown", "shutdown graceful", "shutdown quick", "help",
	} {
		payload, err := json.Marshal(map[string]any{"id": 7, "command": command, "args": []string{}})
		require.NoError(t, err)
		_, got := raw(t, b.path, frame(string(payload)))
		var pretty bytes.Buffer
		require.NoError(t, json.Indent(&pretty, got, "", "  "))
		golden(t, strings.ReplaceAll(command, " ", "-")+".json", pretty.Bytes())
	}
	require.Equal(t, []string{"kill", "reload", "reopen", "drain", "graceful", "graceful", "quick"}, b.fake.called())
}

func TestWordsMayComeInArgsAndAnyCase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn, got := raw(t, b.path, frame(`{"id":"a","command":"  Worker  'ADD' ","args":[2]}`))
	require.JSONEq(t, `{"id":"a","status":"ok","data":{"added":2,"previous":3,"total":5}}`, string(got))
	_, err := conn.Write(frame(`{"command":"worker","args":["remove","1"],"unknown":null}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"id":0,"status":"ok","data":{"removed":1,"previous":5,"total":4}}`, string(receive(t, conn)), "the connection stays")
}

func TestWrongCommandsAreExplained(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.client(t)
	for command, want := range map[string]string{
		"relod":               "Invalid argument: Unknown command: relod. Did you mean reload?",
		"frobnicate":          "Invalid argument: Unknown command: frobnicate. Try help",
		"show":                "Invalid argument: Missing show target (all|workers|dirty|config|stats|listeners|connections|streams)",
		"show worker":         "Invalid argument: Unknown show target: worker (all|workers|dirty|config|stats|listeners|connections|streams). Did you mean workers?",
		"worker":              "Invalid argument: Missing worker action (add|remove|kill)",
		"worker ad 2":         "Invalid argument: Unknown worker action: ad (add|remove|kill). Did you mean add?",
		"worker kill":         "Invalid argument: Missing PID for worker kill",
		"worker kill x":       "Invalid argument: worker kill takes the pid of a worker, as show workers lists them; got x",
		"worker add 0":        "Invalid argument: worker add takes a whole number from 1 to 1024; got 0",
		"worker add -3":       "Invalid argument: worker add takes a whole number from 1 to 1024; got -3",
		"worker remove many":  "Invalid argument: worker remove takes a whole number from 1 to 1024; got many",
		"worker add 100":      "Invalid argument: at most 64 workers",
		"worker add 1 2":      "Invalid argument: worker add takes at most one argument; got 1 2",
		"reload now":          "Invalid argument: reload takes no argument; got now",
		"shutdown gracefully": "Invalid argument: shutdown takes graceful or quick; got gracefully",
		"dirty kill":          "Invalid argument: Unknown dirty action: kill (add|remove). Try help",
		"show \x1b[31m":       `Invalid argument: Unknown show target: "\x1b[31m" (all|workers|dirty|config|stats|listeners|connections|streams). Try help`,
	} {
		_, err := c.Do(within(t), strings.Fields(command)...)
		require.True(t, errs.HasReason(err, "control.refused"), command)
		require.Equal(t, want, errs.As(err).Message, command)
	}
	require.Empty(t, b.fake.called())
}

func TestBadRequestsAreAnsweredAndTheConnectionStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn, got := raw(t, b.path, frame(`{"id":1,"command":"  "}`))
	require.JSONEq(t, `{"id":1,"status":"error","error":"Empty command"}`, string(got))
	for sent, want := range map[string]string{
		`{"id":2}`:                                          "Empty command",
		`{"id":2,"command":7}`:                              "Invalid argument: command is not a text",
		`{"id":2,"command":"show 'all"}`:                    "Invalid argument: No closing quotation",
		`{"id":2,"command":"show all\\"}`:                   "Invalid argument: No escaped character",
		`{"id":2,"command":"show","args":"all"}`:            "Invalid argument: args is not a list",
		`{"id":2,"command":"show","args":[{"a":1}]}`:        "Invalid argument: args may hold texts and numbers only",
		`{"id":2,"command":"show","args":[null]}`:           "Invalid argument: args may hold texts and numbers only",
		`{"id":2,"command":"worker","args":["kill", 1e99]}`: "Invalid argument: worker kill takes the pid of a worker, as show workers lists them; got 1e99",
	} {
		_, err := conn.Write(frame(sent))
		require.NoError(t, err)
		expected, err := json.Marshal(map[string]any{"id": 2, "status": "error", "error": want})
		require.NoError(t, err)
		require.JSONEq(t, string(expected), string(receive(t, conn)), sent)
	}
}

func TestFrameOfTwoGigabytesIsRefusedWithoutMemory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	conn, got := raw(t, b.path, []byte{0x80, 0, 0, 0, '{', '"'})
	runtime.ReadMemStats(&after)
	require.JSONEq(t, `{"id":0,"status":"error","error":"message too large: 2147483648 bytes, at most 65536 are accepted"}`, string(got))
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20))
	_, err := conn.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err, "the connection is closed")
	_, err = b.client(t).Do(within(t), "show", "all")
	require.NoError(t, err, "others are served")
	require.Contains(t, b.audited()[0].Error, "message too large")
}

func TestWhatIsNoMessageEndsTheConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, sent := range []string{"", "[]", "null 1", "\xff\xfe", `{"id":`, `"show all"`} {
		conn, got := raw(t, b.path, frame(sent))
		require.Contains(t, string(got), `"error":"Invalid message`, sent)
		_, err := conn.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err, sent)
	}
	conn, err := net.Dial("unix", b.path)
	require.NoError(t, err)
	_, err = conn.Write([]byte{0, 0})
	require.NoError(t, err)
	require.NoError(t, conn.Close(), "half a length disturbs nobody")
	_, err = b.client(t).Do(within(t), "show", "all")
	require.NoError(t, err)
}

func TestSlowFramesAndIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *control.Options, _ *fake) {
		o.FrameTimeout, o.IdleTimeout = 20*time.Millisecond, 50*time.Millisecond
	})
	for _, sent := range [][]byte{{0, 0, 0}, {0, 0, 0, 9, '{'}, nil} {
		conn, err := net.Dial("unix", b.path)
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
		_, err = conn.Write(sent)
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, conn.Close())
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *control.Options, _ *fake) { o.MaxConnections = 2 })
	first, second := b.client(t), b.client(t)
	for _, c := range []*control.Client{first, second} {
		_, err := c.Do(within(t), "show", "all")
		require.NoError(t, err)
	}
	_, err := b.client(t).Do(within(t), "show", "all")
	require.ErrorContains(t, err, "Too many control connections; at most 2 are served")
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool {
		_, err := b.client(t).Do(within(t), "show", "all")
		return err == nil
	}, 30*time.Second, 5*time.Millisecond, "a place is free again")
}

func TestFailuresOfTheArbiterAreAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ *control.Options, f *fake) {
		f.fail, f.crash = errs.E(errs.Conflict, "serving.stopping", "The server is stopping."), true
	})
	c := b.client(t)
	for command, want := range map[string]string{
		"show all": "The server is stopping.", "show config": "The server is stopping.", "show connections": "The server is stopping.",
		"show streams": "The server is stopping.", "worker add": "The server is stopping.", "worker kill 101": "The server is stopping.",
		"reopen": "The server is stopping.", "shutdown": "The server is stopping.", "drain": "The server is stopping.",
		"reload": "the server has a fault; its log says more",
	} {
		_, err := c.Do(within(t), strings.Fields(command)...)
		require.Equal(t, "Command failed: "+want, errs.As(err).Message, command)
	}
}

func TestACommandThatDoesNotEndIsReportedAndKeepsItsSlot(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	b := setup(t, func(o *control.Options, f *fake) {
		o.CommandTimeout, o.MaxConnections, f.block = 20*time.Millisecond, 1, release
	})
	_, err := b.client(t).Do(within(t), "reopen")
	require.ErrorContains(t, err, "reopen did not end within 20ms; it may still take effect")
	_, err = b.client(t).Do(within(t), "show", "all")
	require.ErrorContains(t, err, "Too many control connections")
	close(release)
	require.Eventually(t, func() bool {
		_, err := b.client(t).Do(within(t), "show", "all")
		return err == nil
	}, 30*time.Second, 5*time.Millisecond)
}

func TestEachCommandIsAuditedWithItsPeer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.client(t)
	for _, command := range []string{"show all", "worker add 2", "worker kill 5", "relod"} {
		_, _ = c.Do(within(t), strings.Fields(command)...)
	}
	got := b.audited()
	require.Len(t, got, 4)
	type seen struct {
		command string
		changes bool
		failed  bool
	}
	for i, want := range []seen{{"show all", false, false}, {"worker add 2", true, false}, {"worker kill 5", true, true}, {"relod", true, true}} {
		require.Equal(t, want, seen{got[i].Command, got[i].Changes, got[i].Error != ""})
		require.Equal(t, now(), got[i].At)
		if runtime.GOOS == "linux" {
			require.Equal(t, control.Peer{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}, got[i].Peer)
		}
	}
}

func TestStoppingAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	b := setup(t, func(_ *control.Options, f *fake) { f.block = release })
	idle := b.client(t)
	_, err := idle.Do(within(t), "show", "all")
	require.NoError(t, err)
	busy := b.client(t)
	answer := make(chan error, 1)
	go func() {
		_, err := busy.Do(context.Background(), "reopen")
		answer <- err
	}()
	require.Eventually(t, func() bool { return len(b.fake.called()) == 1 }, 30*time.Second, time.Millisecond)
	stopped := make(chan struct{})
	go func() {
		b.stop()
		close(stopped)
	}()
	require.Eventually(t, func() bool {
		_, err := idle.Do(within(t), "show", "all")
		return err != nil
	}, 30*time.Second, time.Millisecond, "idle connections are closed")
	require.Eventually(t, func() bool { _, err := os.Lstat(b.path); return os.IsNotExist(err) }, 30*time.Second, time.Millisecond)
	select {
	case <-stopped:
		t.Fatal("stopped with a command in flight")
	default:
	}
	close(release)
	require.NoError(t, <-answer)
	<-stopped
	_, err = control.Dial(t.Context(), b.path)
	require.ErrorContains(t, err, "There is no control socket at "+b.path)
}

func TestManyClientsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	errors := make(chan error, 16)
	for range 16 {
		go func() {
			c, err := control.Dial(context.Background(), b.path)
			if err != nil {
				errors <- err
				return
			}
			defer c.Close()
			for i := range 50 {
				if _, err = c.Do(context.Background(), []string{"show", "show"}[i%2], []string{"all", "stats"}[i%2]); err != nil {
					break
				}
			}
			errors <- err
		}()
	}
	for range 16 {
		require.NoError(t, <-errors)
	}
	require.Len(t, b.audited(), 16*50)
}

func TestClientExplainsWhyNobodyAnswers(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):     "There is no control socket at",
		stale:                          "Nobody answers on",
		file:                           "Nobody answers on",
		"/" + strings.Repeat("x", 200): "has 201 bytes, and the system takes at most 107",
	} {
		_, err := control.Dial(within(t), path)
		require.ErrorContains(t, err, want)
	}
}

func TestClientGivesUpOnASilentServer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "silent")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	c, err := control.Dial(t.Context(), path)
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = c.Do(ctx, "show", "all")
	require.True(t, errs.HasReason(err, "control.timeout"), fmt.Sprint(err))
}
