package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// follower is the official Socket.IO client in a process of its own.
type follower struct {
	t     *testing.T
	lines chan line
	seen  map[string][]json.RawMessage // envelopes by stream, in the order of their coming

	repeated int
}

type line struct {
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
	Ack     *struct {
		OK       bool     `json:"ok"`
		Rooms    []string `json:"rooms"`
		Position string   `json:"position"`
	} `json:"ack"`
	ConnectError string `json:"connect_error"`
	Data         struct {
		Code string `json:"code"`
	} `json:"data"`
}

// follow subscribes to rooms and waits for the answer.
func (s *studio) follow(token, transport string, rooms ...string) *follower {
	s.t.Helper()
	node, err := exec.LookPath("node")
	require.NoError(s.t, err)
	client, err := filepath.Abs("../socketio")
	require.NoError(s.t, err)
	if _, err := os.Stat(filepath.Join(client, "node_modules")); err != nil {
		install := exec.CommandContext(s.t.Context(), "npm", "ci", "--no-audit", "--no-fund")
		install.Dir = client
		out, err := install.CombinedOutput()
		require.NoError(s.t, err, "%s", out)
	}
	cmd := exec.CommandContext(s.t.Context(), node, append([]string{"follow.mjs", s.url, token, transport}, rooms...)...)
	cmd.Dir = client
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(s.t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	f := &follower{t: s.t, lines: make(chan line, 100_000), seen: map[string][]json.RawMessage{}}
	go func() {
		defer close(f.lines)
		scan := bufio.NewScanner(out)
		scan.Buffer(nil, 8<<20)
		for scan.Scan() {
			var l line
			if json.Unmarshal(scan.Bytes(), &l) == nil {
				f.lines <- l
			}
		}
	}()
	return f
}

func (f *follower) next() line {
	f.t.Helper()
	select {
	case l, ok := <-f.lines:
		require.True(f.t, ok, "the client ended")
		if strings.Contains(string(l.Payload), `"sequence_stream"`) {
			var e envelope
			require.NoError(f.t, json.Unmarshal(l.Payload, &e))
			// After a reconnect a client gets again what came since its position.
			if e.Sequence <= int64(len(f.seen[e.Stream])) {
				f.repeated++
				return l
			}
			f.seen[e.Stream] = append(f.seen[e.Stream], l.Payload)
		}
		return l
	case <-time.After(patience):
		f.t.Fatal("the client hears nothing")
		return line{}
	}
}

func (f *follower) acknowledged() {
	f.t.Helper()
	for {
		if l := f.next(); l.Ack != nil {
			require.True(f.t, l.Ack.OK)
			return
		}
	}
}

// until reads until a run has ended.
func (f *follower) until(runID int64) {
	f.t.Helper()
	for {
		l := f.next()
		if l.Event != "flowchart:run:updated" {
			continue
		}
		var e struct {
			Payload struct {
				ID     int64  `json:"flowchart_run_id"`
				Status string `json:"status"`
			} `json:"payload"`
		}
		require.NoError(f.t, json.Unmarshal(l.Payload, &e))
		if e.Payload.ID == runID && final(e.Payload.Status) {
			return
		}
	}
}

func TestMainJob(t *testing.T) {
	t.Parallel()
	llm := llmtest.New(t)
	llm.On("SUMMARY", llmtest.Reply{Text: "This is the summary of the text."})
	llm.On("OUTLINE", llmtest.Reply{Text: "One. Two. Three."})
	llm.On("REPORT", llmtest.Reply{Text: "All is well."})
	s := newStudio(t)
	s.signIn()
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	id := s.flowchart(sixNodes(s.model(llm.OpenAIURL())))

	for _, transport := range []string{"websocket", "polling", "polling,websocket"} { //nolint:paralleltest // they share the studio
		t.Run(transport, func(t *testing.T) {
			f := s.follow(s.key, transport, fmt.Sprintf("flowchart:%d", id))
			f.t = t
			f.acknowledged()
			var started runBody
			require.Equal(t, 202, s.call("POST", fmt.Sprintf("/api/flowcharts/%d/runs", id), map[string]any{"input": map[string]any{"text": string(text)}}, &started))
			f.until(started.Run.ID)

			r := s.run(started.Run.ID)
			require.Equal(t, "succeeded", r.Run.Status, "%s", r.Run.Error)
			var output struct {
				Text string `json:"text"`
			}
			require.NoError(t, json.Unmarshal(r.Run.Output, &output))
			require.Equal(t, "All is well.", output.Text)
			require.Equal(t, 1, llm.Count(fmt.Sprintf("REPORT of run %d: with outline; true", r.Run.ID)))
			for _, n := range r.Nodes {
				require.Equal(t, "succeeded", n.Status, n.Node)
			}
			// What came over the socket is the log.
			stream := fmt.Sprintf("flowchart_run:%d", r.Run.ID)
			require.Zero(t, f.repeated)
			logged, heard := s.events(stream), f.seen[stream]
			require.Len(t, heard, len(logged))
			for i := range logged {
				require.JSONEq(t, string(logged[i]), string(heard[i]))
			}
			for _, n := range r.Nodes {
				if n.Node == "report" {
					require.Equal(t, "All is well.", streamed(t, f.seen[fmt.Sprintf("node_log:%d", n.ID)]))
				}
			}
		})
	}
}

// streamed puts the deltas of a node's log together.
func streamed(t *testing.T, log []json.RawMessage) string {
	t.Helper()
	var b strings.Builder
	for _, raw := range log {
		var e struct {
			Type    string `json:"event_type"`
			Payload struct {
				Text   string `json:"text"`
				Offset int    `json:"offset"`
			} `json:"payload"`
		}
		require.NoError(t, json.Unmarshal(raw, &e))
		if e.Type == "node:task:delta" {
			require.Equal(t, b.Len(), e.Payload.Offset)
			b.WriteString(e.Payload.Text)
		}
	}
	return b.String()
}

func TestCancelClosesTheProvidersSocket(t *testing.T) {
	t.Parallel()
	llm := llmtest.New(t)
	llm.On("SUMMARY", llmtest.Reply{Text: "never ending", Hang: true, HangAt: 1})
	s := newStudio(t)
	s.signIn()
	id := s.flowchart(sixNodes(s.model(llm.OpenAIURL())))
	var started runBody
	require.Equal(t, 202, s.call("POST", fmt.Sprintf("/api/flowcharts/%d/runs", id), map[string]any{"input": map[string]any{"text": "short"}}, &started))
	req := llm.Next(t)
	require.Equal(t, 202, s.call("POST", fmt.Sprintf("/api/flowchart-runs/%d/cancel", started.Run.ID), nil, nil))
	select {
	case <-req.ClientGone():
	case <-time.After(patience):
		t.Fatal("the provider's socket stays open")
	}
	require.Equal(t, "cancelled", s.await(started.Run.ID).Run.Status)
	require.Equal(t, 409, s.call("POST", fmt.Sprintf("/api/flowchart-runs/%d/cancel", started.Run.ID), nil, nil))
}

func TestBadTokenIsRefusedWithACode(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	f := s.follow("llmctl_wrong", "websocket", "studio")
	l := f.next()
	require.NotEmpty(t, l.ConnectError)
	require.Equal(t, "unauthenticated", l.Data.Code)
}

func TestSecondProcessAndTakenPortSayWhatToDo(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	second := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"up", "--no-browser"}, args...)...)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		return string(out)
	}
	require.Contains(t, second("--data-dir", s.dir), "is in use by another llmctl")
	other, err := os.MkdirTemp("", "llmctl-e2e-") //nolint:usetesting // the database's account must reach it
	require.NoError(t, err)
	require.NoError(t, os.Chmod(other, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(other) })
	require.Contains(t, second("--data-dir", other, "--bind", strings.TrimPrefix(s.url, "http://")), "--bind")
	require.Contains(t, second("--data-dir", other, "--database-uri", "sqlite:///x"), "import-sqlite")
}

func TestKilledStudioGoesOnAtTheNextNode(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	llm := llmtest.New(t)
	llm.On("REPORT", llmtest.Reply{Text: "done", Gate: gate})
	s := newStudio(t)
	s.signIn()
	id := s.flowchart(sixNodes(s.model(llm.OpenAIURL())))
	var started runBody
	require.Equal(t, 202, s.call("POST", fmt.Sprintf("/api/flowcharts/%d/runs", id), map[string]any{"input": map[string]any{"text": "short"}}, &started))
	require.Contains(t, llm.Next(t).Prompt, "SUMMARY")
	require.Contains(t, llm.Next(t).Prompt, "REPORT")
	s.end(syscall.SIGKILL)
	close(gate)
	s.start()
	r := s.await(started.Run.ID)
	require.Equal(t, "succeeded", r.Run.Status, "%s", r.Run.Error)
	require.Equal(t, 1, llm.Count("SUMMARY"), "a finished node is not run again")
	require.Equal(t, 2, llm.Count("REPORT"))
	s.events(fmt.Sprintf("flowchart_run:%d", started.Run.ID))
}

func TestStoppedStudioHandsItsWorkOver(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	llm := llmtest.New(t)
	llm.On("REPORT", llmtest.Reply{Text: "done", Gate: gate})
	s := newStudio(t)
	s.signIn()
	id := s.flowchart(sixNodes(s.model(llm.OpenAIURL())))
	f := s.follow(s.key, "websocket", fmt.Sprintf("flowchart:%d", id))
	f.acknowledged()
	var started runBody
	require.Equal(t, 202, s.call("POST", fmt.Sprintf("/api/flowcharts/%d/runs", id), map[string]any{"input": map[string]any{"text": "short"}}, &started))
	require.Contains(t, llm.Next(t).Prompt, "SUMMARY")
	require.Contains(t, llm.Next(t).Prompt, "REPORT")
	s.end(syscall.SIGTERM) // asserts exit code 0
	close(gate)
	s.start()
	// The same client reconnects by itself and misses nothing.
	f.until(started.Run.ID)
	stream := fmt.Sprintf("flowchart_run:%d", started.Run.ID)
	require.Len(t, f.seen[stream], len(s.events(stream)))
	for i, raw := range f.seen[stream] {
		var e envelope
		require.NoError(t, json.Unmarshal(raw, &e))
		require.Equal(t, int64(i+1), e.Sequence)
	}
	r := s.run(started.Run.ID)
	require.Equal(t, "succeeded", r.Run.Status)
	require.Equal(t, 1, llm.Count("SUMMARY"))
}

func TestScriptRunsInAPrivateWorkspace(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.signIn()
	id := s.flowchart(`{"nodes":[
		{"id":"start","kind":"start","title":"Start","position":{"x":0,"y":0},"config":{}},
		{"id":"sh","kind":"script","title":"Script","position":{"x":0,"y":0},"config":{"script":"cat > file; printf '{\"uid\":\"%s\",\"words\":%s,\"secrets\":\"%s\"}' \"$(id -u)\" \"$(wc -w < file)\" \"$(env | grep -c LLMCTL_.*PASSWORD)\"","stdin":"{{ input.text }}"}},
		{"id":"end","kind":"end","title":"End","position":{"x":0,"y":0},"config":{}}],
		"edges":[{"id":"e1","source":"start","target":"sh","mode":"solid"},{"id":"e2","source":"sh","target":"end","mode":"solid"}]}`)
	var started runBody
	require.Equal(t, 202, s.call("POST", fmt.Sprintf("/api/flowcharts/%d/runs", id), map[string]any{"input": map[string]any{"text": "one two three"}}, &started))
	r := s.await(started.Run.ID)
	require.Equal(t, "succeeded", r.Run.Status, "%s", r.Run.Error)
	var output struct {
		ExitCode int `json:"exit_code"`
		JSON     struct {
			UID     string `json:"uid"`
			Words   int    `json:"words"`
			Secrets string `json:"secrets"`
		} `json:"json"`
	}
	require.NoError(t, json.Unmarshal(r.Run.Output, &output))
	require.Equal(t, 3, output.JSON.Words)
	require.Equal(t, "0", output.JSON.Secrets)
	require.NotEqual(t, "0", output.JSON.UID, "scripts do not run as root")
}
