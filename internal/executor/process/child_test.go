package process_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/node/kind"
)

// startChild runs an executor child by hand; the returned file keeps it alive.
func startChild(t *testing.T, payload string) (cmd *exec.Cmd, events io.Reader, alive *os.File) {
	t.Helper()
	eventsR, eventsW, err := os.Pipe()
	require.NoError(t, err)
	aliveR, aliveW, err := os.Pipe()
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), "/proc/self/exe", roleChild)
	cmd.Dir = t.TempDir()
	cmd.Stdin = strings.NewReader(payload)
	cmd.ExtraFiles = []*os.File{eventsW, aliveR}
	require.NoError(t, cmd.Start())
	require.NoError(t, eventsW.Close())
	require.NoError(t, aliveR.Close())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = eventsR.Close(), aliveW.Close()
	})
	return cmd, eventsR, aliveW
}

func encode(t *testing.T, p executor.Payload) string {
	t.Helper()
	data, err := json.Marshal(p)
	require.NoError(t, err)
	return string(data)
}

func TestExitCodesFollowTheContract(t *testing.T) {
	t.Parallel()
	late := payload(kind.Script, map[string]any{"script": "sleep 600"})
	late.Limits.TimeoutSeconds = 0.2
	for name, c := range map[string]struct {
		payload string
		code    int
	}{
		"succeeded": {encode(t, payload(kind.Script, map[string]any{"script": "true"})), 0},
		"failed":    {encode(t, payload(kind.Script, map[string]any{"script": "false"})), 1},
		"not JSON":  {"{", 2},
		"old":       {`{"contract_version":"v0"}`, 2},
		"timeout":   {encode(t, late), 124},
		"cancelled": {encode(t, payload("stopped", nil)), 130},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, events, _ := startChild(t, c.payload)
			data, err := io.ReadAll(events)
			require.NoError(t, err)
			_ = cmd.Wait()
			require.Equal(t, c.code, cmd.ProcessState.ExitCode())
			lines := strings.Split(strings.TrimSpace(string(data)), "\n")
			if c.code == 2 {
				require.Empty(t, lines[0])
				return
			}
			var last executor.Event
			require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &last))
			require.Equal(t, executor.EventResult, last.Type)
			require.Equal(t, int64(len(lines)), last.N)
			require.Equal(t, c.code, executor.ExitCode(last.Result.Status))
		})
	}
}

func TestTheEndOfTheKeepAlivePipeEndsTheChild(t *testing.T) {
	t.Parallel()
	cmd, _, alive := startChild(t, encode(t, payload(kind.Script, map[string]any{"script": "sleep 600"})))
	require.NoError(t, alive.Close())
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
		require.Equal(t, 130, cmd.ProcessState.ExitCode())
	case <-time.After(10 * time.Second):
		_ = syscall.Kill(cmd.Process.Pid, syscall.SIGKILL)
		t.Fatal("the child did not notice")
	}
}
