package embedded

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// binaries is a folder with initdb and postgres in it.
type binaries struct {
	dir   string
	major int
}

func (b binaries) tool(name string) string { return filepath.Join(b.dir, name) }

// candidates lists folders that may hold binaries, best first.
func candidates(o Options) []string {
	var dirs []string
	if o.BinDir != "" {
		return []string{o.BinDir}
	}
	if found, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(found))
	}
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(debian, func(a, b string) int { return debianMajor(b) - debianMajor(a) })
	dirs = append(dirs, debian...)
	for _, web := range o.NodeModules {
		dirs = append(dirs, filepath.Join(web, "@embedded-postgres", platform(), "native", "bin"))
	}
	return dirs
}

func debianMajor(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return n
}

// platform is npm's name of this one.
func platform() string {
	arch := map[string]string{"amd64": "x64", "386": "ia32"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return runtime.GOOS + "-" + arch
}

// find gives the first folder whose server runs and, if major is not 0, is of
// that version.
func find(ctx context.Context, o Options, major int) (binaries, error) {
	var seen []string
	for _, dir := range candidates(o) {
		v, err := version(ctx, filepath.Join(dir, "postgres"))
		if err != nil {
			continue
		}
		seen = append(seen, fmt.Sprintf("%d in %s", v, dir))
		if major == 0 || v == major {
			return binaries{dir: dir, major: v}, nil
		}
	}
	if major != 0 {
		have := "none was found"
		if len(seen) > 0 {
			have = "found were " + strings.Join(seen, ", ")
		}
		return binaries{}, errs.Ef(errs.Unavailable, "postgres.wrong_major",
			"The data in this data dir belongs to PostgreSQL %d, but %s. Install it (Debian: apt-get install postgresql-%d) or name its folder in LLMCTL_POSTGRES_BIN_DIR.",
			major, have, major)
	}
	return binaries{}, errs.Ef(errs.Unavailable, "postgres.missing",
		"No PostgreSQL server was found (looked in %s). Install it (Debian: apt-get install postgresql), name its folder in LLMCTL_POSTGRES_BIN_DIR, or use a server of yours with --database-uri.",
		strings.Join(candidates(o), ", "))
}

func version(ctx context.Context, postgres string) (int, error) {
	out, err := exec.CommandContext(ctx, postgres, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("run %s: %w", postgres, err)
	}
	m := regexp.MustCompile(`\) (\d+)`).FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%s gave an unknown version %q", postgres, out)
	}
	return strconv.Atoi(string(m[1]))
}

// existing gives the major version of data that is there already, 0 for none.
func existing(root string) (int, error) {
	found, err := filepath.Glob(filepath.Join(root, "*", "PG_VERSION"))
	if err != nil || len(found) == 0 {
		return 0, err
	}
	newest := 0
	for _, file := range found {
		raw, err := os.ReadFile(file)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", file, err)
		}
		v, err := strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil {
			return 0, fmt.Errorf("%s holds %q, not a version", file, raw)
		}
		newest = max(newest, v)
	}
	return newest, nil
}
