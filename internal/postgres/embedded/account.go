package embedded

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/llmctl/studio/internal/errs"
)

// account is who the server runs as.
type account struct {
	name    string
	uid     uint32
	gid     uint32
	groups  []uint32
	foreign bool // this process is root and becomes somebody else for the server
}

// self is this process's own account.
func self() account {
	return account{name: strconv.Itoa(os.Geteuid()), uid: id(os.Geteuid()), gid: id(os.Getegid())}
}

// id makes a kernel id of Go's int; -1 does not occur on unix.
func id(n int) uint32 { return uint32(n) }

// chooseAccount decides who runs the server. owner is the owner of existing
// data, or 0.
func chooseAccount(owner uint32) (account, error) {
	if os.Geteuid() != 0 {
		return self(), nil
	}
	if owner != 0 {
		if u, err := user.LookupId(strconv.FormatUint(uint64(owner), 10)); err == nil {
			return accountOf(u)
		}
		return account{name: strconv.FormatUint(uint64(owner), 10), uid: owner, gid: owner, foreign: true}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return accountOf(u)
		}
	}
	return account{}, errs.E(errs.Precondition, ReasonNoAccount,
		"PostgreSQL does not run as root, and there is neither an account postgres nor nobody. Start llmctl as another user.")
}

func accountOf(u *user.User) (account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, errs.Ef(errs.Precondition, ReasonNoAccount, "The account %s has no usable id.", u.Username).With(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, errs.Ef(errs.Precondition, ReasonNoAccount, "The account %s has no usable group.", u.Username).With(err)
	}
	a := account{name: u.Username, uid: uint32(uid), gid: uint32(gid), foreign: true}
	ids, err := u.GroupIds()
	if err != nil {
		return a, nil //nolint:nilerr // supplementary groups only widen access; without them it is checked more strictly
	}
	for _, text := range ids {
		if g, err := strconv.ParseUint(text, 10, 32); err == nil {
			a.groups = append(a.groups, uint32(g))
		}
	}
	return a, nil
}

// own gives path to the account, if it is another one than ours.
func (a account) own(path string) error {
	if !a.foreign {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// reaches says whether the account may pass every folder down to path and use
// path itself with the given permission bits (4 read, 2 write, 1 search or run).
// What does not exist yet counts as its nearest existing parent.
func (a account) reaches(path string, bits os.FileMode) bool {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return a.reaches(filepath.Dir(path), 1)
	}
	if !a.may(resolved, bits) {
		return false
	}
	for dir := filepath.Dir(resolved); ; dir = filepath.Dir(dir) {
		if !a.may(dir, 1) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// may compares permission bits as the kernel does: the first class that fits decides.
func (a account) may(path string, bits os.FileMode) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	mode := info.Mode().Perm()
	switch {
	case stat.Uid == a.uid:
		mode >>= 6
	case stat.Gid == a.gid || slices.Contains(a.groups, stat.Gid):
		mode >>= 3
	}
	return mode&bits == bits
}
