package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// isolation is where script nodes work and as whom.
type isolation struct {
	root     string // of the workspaces
	uid, gid int    // 0: as this process
}

// isolate keeps scripts away from what root may do: as root they run as nobody,
// in workspaces that nobody can reach even when the data dir lies in a home.
func isolate(dataDir string) (isolation, error) {
	i := isolation{root: filepath.Join(dataDir, "workspaces")}
	if os.Geteuid() != 0 {
		return i, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return i, fmt.Errorf("script nodes do not run as root, and there is no account nobody; set LLMCTL_STUDIO_SCRIPT_NODES=false or run as another user: %w", err)
	}
	uid, errUID := strconv.Atoi(u.Uid)
	gid, errGID := strconv.Atoi(u.Gid)
	if errUID != nil || errGID != nil {
		return i, fmt.Errorf("account nobody has the ids %q and %q", u.Uid, u.Gid)
	}
	i.uid, i.gid = uid, gid
	if !passable(dataDir) {
		sum := sha256.Sum256([]byte(dataDir))
		i.root = filepath.Join("/var/lib/llmctl-studio", "workspaces-"+hex.EncodeToString(sum[:6]))
	}
	return i, nil
}

// passable reports whether anybody may pass through a folder and those above it.
func passable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}
