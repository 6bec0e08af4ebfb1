package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/llmctl/studio/internal/errs"
)

// place is where the cluster lies and who owns it.
type place struct {
	root    string // holds <major>/, run/ and password
	major   int    // of the existing data, 0 when there is none
	account account
}

func (p place) data(major int) string { return filepath.Join(p.root, strconv.Itoa(major)) }

// movedTo is the file in the data folder that names another root.
const movedTo = "moved-to"

// locate finds existing data, or decides where new data will lie.
func locate(dataDir, fallbackDir string) (place, error) {
	root := filepath.Join(dataDir, "postgres")
	moved := false
	text, err := os.ReadFile(filepath.Join(root, movedTo))
	switch {
	case err == nil:
		root, moved = strings.TrimSpace(string(text)), true
		if !filepath.IsAbs(root) {
			return place{}, errs.Ef(errs.Precondition, ReasonUnusable, "%s does not hold an absolute path.", filepath.Join(dataDir, "postgres", movedTo))
		}
	case !errors.Is(err, fs.ErrNotExist):
		return place{}, fmt.Errorf("locate database: %w", err)
	}
	major, owner, err := existing(root)
	if err != nil {
		return place{}, err
	}
	who, err := chooseAccount(owner)
	if err != nil {
		return place{}, err
	}
	if major == 0 && !moved && !who.reaches(dataDir, 1) {
		root, err = relocate(dataDir, fallbackDir, who)
		if err != nil {
			return place{}, err
		}
	}
	p := place{root: root, major: major, account: who}
	return p, p.check(owner)
}

// existing gives the highest major below root that has data, and its owner.
func existing(root string) (major int, owner uint32, err error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, errs.Ef(errs.Precondition, ReasonUnusable, "The database folder %s cannot be read by this account.", root).With(err)
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil || n <= major {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, e.Name(), "PG_VERSION")) //nolint:gosec // a name that the folder itself lists
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, 0, errs.Ef(errs.Precondition, ReasonUnusable,
				"The database in %s belongs to another account. Start llmctl as that account.", filepath.Join(root, e.Name())).With(err)
		}
		said, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || said != n {
			return 0, 0, errs.Ef(errs.Precondition, ReasonUnusable,
				"%s says %q, but the folder is called %d. Put the folder of the right version there.",
				filepath.Join(root, e.Name(), "PG_VERSION"), strings.TrimSpace(string(text)), n)
		}
		major = n
	}
	if major == 0 {
		return 0, 0, nil
	}
	info, err := os.Stat(filepath.Join(root, strconv.Itoa(major))) //nolint:gosec // a number
	if err != nil {
		return 0, 0, fmt.Errorf("locate database: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = stat.Uid
	}
	return major, owner, nil
}

// check refuses what the server would refuse later with a worse message.
func (p place) check(owner uint32) error {
	if p.major != 0 && owner != p.account.uid {
		return errs.Ef(errs.Precondition, ReasonUnusable,
			"The database in %s belongs to the account %d, but would run as %s. Give it to one account: chown -R.", p.data(p.major), owner, p.account.name)
	}
	if !p.account.reaches(filepath.Dir(p.root), 1) {
		return errs.Ef(errs.Precondition, ReasonUnusable,
			"The account %s cannot reach the database in %s. Let it pass the folders above (chmod o+x).", p.account.name, p.root)
	}
	return nil
}

// relocate chooses a root that the account can reach, and leaves a note of it.
func relocate(dataDir, fallbackDir string, who account) (string, error) {
	sum := sha256.Sum256([]byte(dataDir))
	root := filepath.Join(fallbackDir, hex.EncodeToString(sum[:6]), "postgres")
	if err := os.MkdirAll(filepath.Dir(root), dataDirMode); err != nil || !who.reaches(filepath.Dir(root), 1) {
		return "", errs.Ef(errs.Precondition, ReasonUnusable,
			"PostgreSQL runs as the account %s here, which reaches neither the data folder %s nor %s. Give --data-dir another folder.",
			who.name, dataDir, fallbackDir).With(err)
	}
	note := filepath.Join(dataDir, "postgres")
	if err := os.MkdirAll(note, 0o700); err != nil {
		return "", fmt.Errorf("note where the database is: %w", err)
	}
	if err := writeFile(filepath.Join(note, movedTo), root+"\n", 0o644); err != nil {
		return "", err
	}
	return root, nil
}

// writeFile replaces a file as a whole or not at all.
func writeFile(path, text string, mode fs.FileMode) error {
	temporary := path + ".new"
	_ = os.Remove(temporary) // of an interrupted write; its mode must not stay
	if err := os.WriteFile(temporary, []byte(text), mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// reachablePrograms copies programs to where the account can run them, unless
// it can already.
func (p place) reachablePrograms(from programs, fallbackDir string) (programs, error) {
	share := filepath.Dir(from.bin)
	if p.account.reaches(from.path("postgres"), 5) && p.account.reaches(from.path("initdb"), 5) && p.account.reaches(share, 5) {
		return from, nil
	}
	info, err := os.Stat(from.path("postgres"))
	if err != nil {
		return programs{}, fmt.Errorf("look at the postgres programs: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", from.bin, info.Size(), info.ModTime().UnixNano()))
	target := filepath.Join(fallbackDir, "programs", hex.EncodeToString(sum[:6]))
	copied := programs{bin: filepath.Join(target, "bin"), major: from.major}
	if hasPrograms(copied.bin) {
		return copied, nil
	}
	if err := copyPrograms(share, target); err != nil {
		return programs{}, err
	}
	return copied, nil
}

// copyPrograms copies bin, lib and share. It is renamed into place at the end.
func copyPrograms(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // programs that another account runs
		return fmt.Errorf("copy postgres programs: %w", err)
	}
	building, err := os.MkdirTemp(filepath.Dir(to), "copy-")
	if err != nil {
		return fmt.Errorf("copy postgres programs: %w", err)
	}
	defer func() { _ = os.RemoveAll(building) }()
	for _, part := range []string{"bin", "lib", "share"} {
		source := filepath.Join(from, part)
		if _, err := os.Stat(source); err != nil {
			continue
		}
		if err := os.CopyFS(filepath.Join(building, part), os.DirFS(source)); err != nil {
			return fmt.Errorf("copy postgres programs: %w", err)
		}
	}
	if err := openTree(building); err != nil {
		return err
	}
	if err := os.Rename(building, to); err != nil {
		return fmt.Errorf("copy postgres programs: %w", err)
	}
	return nil
}

// openTree lets everybody read a tree, and run what its owner may run.
func openTree(root string) error {
	tree, err := os.OpenRoot(root)
	if err != nil {
		return fmt.Errorf("open postgres programs: %w", err)
	}
	defer func() { _ = tree.Close() }()
	err = fs.WalkDir(tree.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		mode := fs.FileMode(0o644)
		if e.IsDir() || strings.HasPrefix(path, "bin/") {
			mode = 0o755
		}
		return tree.Chmod(path, mode)
	})
	if err != nil {
		return fmt.Errorf("open postgres programs: %w", err)
	}
	return nil
}
