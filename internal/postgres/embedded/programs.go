package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

const (
	// minMajor is the oldest server that the schema is tested on.
	minMajor = 15

	versionTimeout = 20 * time.Second
)

// programs is a folder with initdb and postgres of one version.
type programs struct {
	bin   string
	major int
}

func (p programs) path(name string) string { return filepath.Join(p.bin, name) }

// has says whether the folder holds the programs that are needed.
func hasPrograms(bin string) bool {
	for _, name := range []string{"postgres", "initdb"} {
		info, err := os.Stat(filepath.Join(bin, name))
		if err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// findPrograms lists the usable programs in order of preference.
func findPrograms(ctx context.Context, o Options) ([]programs, error) {
	if o.BinDir != "" && !hasPrograms(o.BinDir) {
		return nil, errs.Ef(errs.Precondition, ReasonNoPrograms,
			"LLMCTL_POSTGRES_BIN_DIR is %s, but initdb and postgres are not in there.", o.BinDir)
	}
	var found []programs
	for _, bin := range candidates(o) {
		if !hasPrograms(bin) || slices.ContainsFunc(found, func(p programs) bool { return p.bin == bin }) {
			continue
		}
		prepare(bin)
		major, err := version(ctx, bin)
		if err != nil {
			o.Logger.WarnContext(ctx, "postgres programs cannot be used", "folder", bin, "error", err)
			continue
		}
		found = append(found, programs{bin: bin, major: major})
	}
	return found, nil
}

func candidates(o Options) []string {
	var bins []string
	if o.BinDir != "" {
		bins = append(bins, o.BinDir)
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			bins = append(bins, filepath.Dir(path))
		}
	}
	bins = append(bins, systemBins(o.SystemDir)...)
	for _, modules := range o.NodeModules {
		if dir, err := filepath.Abs(modules); err == nil {
			bins = append(bins, filepath.Join(dir, "@embedded-postgres", platform(), "native", "bin"))
		}
	}
	return bins
}

// systemBins lists <dir>/*/bin, highest version first.
func systemBins(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var majors []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			majors = append(majors, n)
		}
	}
	slices.Sort(majors)
	slices.Reverse(majors)
	bins := make([]string, 0, len(majors))
	for _, n := range majors {
		bins = append(bins, filepath.Join(dir, strconv.Itoa(n), "bin"))
	}
	return bins
}

// platform is this machine in the names of the npm packages.
func platform() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return runtime.GOOS + "-" + arch
}

// prepare mends what an npm package cannot carry: links between the libraries,
// which it lists in a file, and permission to run. Nothing depends on success
// here; version tells whether the programs work.
func prepare(bin string) {
	native := filepath.Dir(bin)
	text, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if err != nil {
		return
	}
	var links []struct {
		Source string `json:"source"`
		Target string `json:"target"`
	}
	if json.Unmarshal(text, &links) != nil {
		return
	}
	inside := func(path string) (string, bool) {
		path = strings.TrimPrefix(filepath.Clean(path), "native/")
		return filepath.Join(native, path), filepath.IsLocal(path)
	}
	for _, link := range links {
		source, ok1 := inside(link.Source)
		target, ok2 := inside(link.Target)
		if !ok1 || !ok2 {
			continue
		}
		if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
			if rel, err := filepath.Rel(filepath.Dir(target), source); err == nil {
				_ = os.Symlink(rel, target)
			}
		}
	}
	for _, name := range []string{"postgres", "initdb", "pg_ctl"} {
		_ = os.Chmod(filepath.Join(bin, name), 0o755) //nolint:gosec // a program that another account runs
	}
}

// versionPattern also finds the major of a beta: "PostgreSQL) 19beta1".
var versionPattern = regexp.MustCompile(`PostgreSQL\)? (\d+)`)

func version(ctx context.Context, bin string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version") //nolint:gosec // the program that was found
	cmd.Env = []string{"LC_ALL=C"}
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("ask for the version: %w", err)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("ask for the version: unknown answer %.60q", out)
	}
	return strconv.Atoi(string(m[1]))
}

// choosePrograms picks what fits the existing data (major 0: there is none).
func choosePrograms(found []programs, major int, dataDir string) (programs, error) {
	for _, p := range found {
		if p.major == major || (major == 0 && p.major >= minMajor) {
			return p, nil
		}
	}
	installed := make([]string, 0, len(found))
	for _, p := range found {
		installed = append(installed, fmt.Sprintf("%d in %s", p.major, p.bin))
	}
	switch {
	case major != 0:
		have := "none is installed"
		if len(installed) > 0 {
			have = "only these are installed: " + strings.Join(installed, ", ")
		}
		return programs{}, errs.Ef(errs.Precondition, ReasonMajorMissing,
			"The database in %s was made by PostgreSQL %d, but %s. Install that version (Debian: apt install postgresql-%d), "+
				"or point LLMCTL_POSTGRES_BIN_DIR to its programs, or move the folder away to begin with an empty database.",
			dataDir, major, have, major)
	case len(installed) > 0:
		return programs{}, errs.Ef(errs.Precondition, ReasonNoPrograms,
			"PostgreSQL %d or newer is needed; found %s. Install a newer one (Debian: apt install postgresql), "+
				"or use a database that runs already: --database-uri.", minMajor, strings.Join(installed, ", "))
	default:
		return programs{}, errs.Ef(errs.Precondition, ReasonNoPrograms,
			"PostgreSQL %d or newer is needed and was not found. Install it (Debian: apt install postgresql), "+
				"point LLMCTL_POSTGRES_BIN_DIR to its programs, or use a database that runs already: --database-uri.", minMajor)
	}
}
