// Package proctree finds and ends processes by their place in the process table:
// the descendants of one process, or the members of one session. It knows nothing
// of what the processes do. Where there is no /proc it finds none.
package proctree

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Proc is one row of the process table.
type Proc struct {
	PID, PPID, Session int
	Zombie             bool
}

// All reads the process table. Processes that vanish meanwhile are left out.
func All() []Proc {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []Proc
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := read(pid); ok {
			out = append(out, p)
		}
	}
	return out
}

// Descendants gives the living processes below root, root itself excluded.
func Descendants(root int) []int {
	children := map[int][]Proc{}
	for _, p := range All() {
		children[p.PPID] = append(children[p.PPID], p)
	}
	var out []int
	todo := []int{root}
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		for _, c := range children[next] {
			todo = append(todo, c.PID)
			if !c.Zombie {
				out = append(out, c.PID)
			}
		}
	}
	return out
}

// InSession gives the living members of a session.
func InSession(sid int) []int {
	var out []int
	for _, p := range All() {
		if p.Session == sid && !p.Zombie {
			out = append(out, p.PID)
		}
	}
	return out
}

// WithEnviron gives the processes that were started with the environment entry.
// Those whose environment may not be read are left out.
func WithEnviron(entry string) []int {
	var out []int
	for _, p := range All() {
		data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "environ"))
		if err != nil || p.PID == os.Getpid() {
			continue
		}
		if strings.Contains("\x00"+string(data), "\x00"+entry+"\x00") {
			out = append(out, p.PID)
		}
	}
	return out
}

// KillUntilGone sends SIGKILL to what find returns, again and again because a
// process may fork while it is being looked at, until find returns nothing or
// limit passed. after runs behind each round, to reap for instance.
func KillUntilGone(limit time.Duration, find func() []int, after func()) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		pids := find()
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		after()
		if len(pids) == 0 {
			return true
		}
		select {
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
}

// read parses /proc/<pid>/stat. The command's name stands in parentheses and may
// itself contain any character, so fields are counted from the last one.
func read(pid int) (Proc, bool) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return Proc{}, false
	}
	_, rest, ok := cutLast(string(data), ") ")
	if !ok {
		return Proc{}, false
	}
	f := strings.Fields(rest)
	if len(f) < 4 {
		return Proc{}, false
	}
	ppid, err1 := strconv.Atoi(f[1])
	sid, err2 := strconv.Atoi(f[3])
	if err1 != nil || err2 != nil {
		return Proc{}, false
	}
	return Proc{PID: pid, PPID: ppid, Session: sid, Zombie: f[0] == "Z" || f[0] == "X"}, true
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
