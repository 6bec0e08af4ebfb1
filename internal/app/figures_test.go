package app

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

var update = flag.Bool("update", false, "write generated parts of the documentation anew")

const figuresBegin, figuresEnd = "<!-- figures: written by make generate -->\n", "<!-- end of figures -->\n"

// TestFiguresAreDocumented holds the table of docs/operations/observability.md against
// the registry of a process that has all sides.
func TestFiguresAreDocumented(t *testing.T) {
	t.Parallel()
	cfg, _, err := config.Load(config.LoadOptions{Role: config.RoleUp, Environ: []string{"LLMCTL_STUDIO_DATA_DIR=" + t.TempDir()}})
	require.NoError(t, err)
	keys, err := secret.New(make([]byte, 32))
	require.NoError(t, err)
	s, err := newStudio(t.Context(), studioOptions{
		sides: sides{web: true, work: true}, cfg: cfg, log: slog.New(slog.DiscardHandler), now: time.Now, db: pgtest.DB(t), box: keys,
		bus: bus.NewMemory(), dataDir: cfg.Studio.DataDir, place: alone(time.Now), owner: "test",
	})
	require.NoError(t, err)
	var table strings.Builder
	table.WriteString("| Figure | Labels | What it says |\n|---|---|---|\n")
	families := s.metrics.Families()
	require.Greater(t, len(families), 50)
	for _, f := range families {
		require.Regexp(t, `^(llmctl|gen_ai)_[a-z][a-z_]*[a-z]$`, f.Name)
		require.Regexp(t, `^[A-Z0-9].*\.$`, f.Help, "%s: help is a sentence", f.Name)
		labels := strings.Join(f.Labels, "`, `")
		if labels != "" {
			labels = "`" + labels + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", f.Name, labels, f.Help)
	}
	const page = "../../docs/operations/observability.md"
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(raw), figuresBegin)
	require.True(t, ok)
	got, after, ok := strings.Cut(rest, figuresEnd)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+figuresBegin+table.String()+figuresEnd+after), 0o644))
		return
	}
	require.Equal(t, table.String(), got, "run `make generate`")
}
