package executor

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFailureForWantOfMemorySaysSoInBothVersionsOfControlGroups(t *testing.T) {
	t.Parallel()
	for version, files := range map[string][2]string{
		"2": {"memory.events", "memory.max"}, "1": {"memory/memory.oom_control", "memory/memory.limit_in_bytes"},
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write := func(name, text string) {
				require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600))
			}
			write(files[0], "under_oom 0\noom_kill 2\n")
			write(files[1], "268435456\n")
			failing := func(context.Context, Payload, Sink) Result {
				return Failure("exit_status", "The command ended with signal: killed.", true)
			}
			killed := func(ctx context.Context, p Payload, sink Sink) Result {
				write(files[0], "under_oom 0\noom_kill 3\n")
				return failing(ctx, p, sink)
			}
			res := WatchMemory(root, failing)(t.Context(), Payload{}, nil)
			require.Equal(t, "exit_status", res.Error.Code, "what was killed before is not of this attempt")
			res = WatchMemory(root, killed)(t.Context(), Payload{}, nil)
			require.Equal(t, CodeOutOfMemory, res.Error.Code)
			require.Equal(t, "The node needed more memory than its limit of 256 MiB and was ended (OOMKilled). Raise resources.memory of the node, or the default in the settings.", res.Error.Message)
			require.False(t, res.Error.Retryable)
			res = WatchMemory(t.TempDir(), failing)(t.Context(), Payload{}, nil)
			require.Equal(t, "exit_status", res.Error.Code, "without control groups nothing is said of them")
		})
	}
}
