package embedded

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// Find gives the address of the server that another process runs on a data folder.
// It touches nothing. The reason is ReasonNotRunning when there is none.
func Find(o Options) (string, error) {
	o.complete()
	none := errs.Ef(errs.NotFound, ReasonNotRunning, "No database server runs on the data folder %s.", o.DataDir)
	root := filepath.Join(o.DataDir, "postgres")
	if text, err := os.ReadFile(filepath.Join(root, movedTo)); err == nil {
		root = strings.TrimSpace(string(text))
	}
	major, _, err := existing(root)
	if err != nil {
		return "", err
	}
	if major == 0 {
		return "", none
	}
	p := place{root: root, major: major}
	text, err := os.ReadFile(filepath.Join(p.data(major), "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", none
	}
	if err != nil {
		return "", errs.Ef(errs.Precondition, ReasonUnusable, "The database in %s belongs to another account. Use that account.", p.data(major)).With(err)
	}
	// Process, folder, start time, port, socket folder, TCP address, by line.
	lines := strings.Split(string(text), "\n")
	if len(lines) < 6 {
		return "", none
	}
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || !isPostmasterOf(pid, p.data(major)) {
		return "", none
	}
	password, fresh, err := p.password()
	if err != nil || fresh {
		return "", errs.Ef(errs.Precondition, ReasonUnusable, "The password of the database in %s cannot be read.", root).With(err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(lines[3]))
	if err != nil {
		return "", none
	}
	s := &Server{password: password, port: port, socketDir: strings.TrimSpace(lines[4])}
	return s.uri(o.Database), nil
}

// Exists says whether a data folder has a database at all.
func Exists(dataDir string) bool {
	root := filepath.Join(dataDir, "postgres")
	if text, err := os.ReadFile(filepath.Join(root, movedTo)); err == nil {
		root = strings.TrimSpace(string(text))
	}
	major, _, err := existing(root)
	return err == nil && major != 0
}
