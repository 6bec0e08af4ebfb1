package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParsersShareHalfOfTheMemoryThatThereIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	meminfo := filepath.Join(dir, "meminfo")
	require.Zero(t, memoryHere(dir, meminfo))
	require.NoError(t, os.WriteFile(meminfo, []byte("MemFree: 1 kB\nMemTotal:       8388608 kB\n"), 0o600))
	require.EqualValues(t, 8<<30, memoryHere(dir, meminfo))
	for limit, want := range map[string]int64{"max\n": 8 << 30, "1073741824\n": 1 << 30, "9223372036854771712\n": 8 << 30} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "memory.max"), []byte(limit), 0o600))
		require.Equal(t, want, memoryHere(dir, meminfo), limit)
	}
	require.EqualValues(t, 256<<20, parserMemory(1<<30, 2))
	require.EqualValues(t, minParserMemory, parserMemory(256<<20, 4))
	require.EqualValues(t, maxParserMemory, parserMemory(64<<30, 4))
	require.EqualValues(t, 512<<20, parserMemory(0, 2), "nobody knows")
}
