package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who the server runs as; nil: as this process.
type account struct {
	name string
	uid  uint32
	gid  uint32
}

// unprivileged picks an account for the server when this process is root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // no other account is needed
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no account %q or %q to run it under", "postgres", "nobody")
}

func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// reaches reports whether the account may pass through every folder above path.
func (a *account) reaches(path string) bool {
	if a == nil {
		return true
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil {
			st, ok := info.Sys().(*syscall.Stat_t)
			mode := info.Mode().Perm()
			if ok && mode&0o001 == 0 && (st.Uid != a.uid || mode&0o100 == 0) && (st.Gid != a.gid || mode&0o010 == 0) {
				return false
			}
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// home is where the server's files lie: in the data dir, or for an account that
// cannot reach it in a place of its own that is named after it.
func home(dataDir string, a *account) (string, error) {
	inside := filepath.Join(dataDir, "postgres")
	if a.reaches(filepath.Join(inside, "x")) {
		return inside, nil
	}
	sum := sha256.Sum256([]byte(dataDir))
	outside := filepath.Join("/var/lib/llmctl-studio", hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(outside, 0o755); err != nil { //nolint:gosec // the account must pass through it
		return "", fmt.Errorf("make a place for the database: %w", err)
	}
	return outside, nil
}
