package serving

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// holder is the process that has an address.
type holder struct {
	pid    int
	parent int
	name   string // its command line
}

// String completes the sentence "The address is taken".
func (h holder) String() string {
	if h.pid == 0 {
		return ""
	}
	return fmt.Sprintf(" by process %d (%s)", h.pid, h.name)
}

// orphanOfOurs tells whether it is a worker whose master is gone, and that is so
// stuck that it did not notice. A master runs the same program as its workers; whoever
// takes over orphans (process 1, a supervisor) does not. Process 1 may also be a
// master, in a container.
func (h holder) orphanOfOurs() bool {
	if h.pid <= 1 || !strings.HasPrefix(h.name, WorkerTitle) {
		return false
	}
	own, err := os.Stat(procFile(h.pid, "exe"))
	if err != nil {
		return false
	}
	parent, err := os.Stat(procFile(h.parent, "exe"))
	// What runs under another account, so that it cannot be looked at, is no master of it.
	return err != nil || !os.SameFile(own, parent)
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// holderOf finds the process that listens on host:port or unix:/path, as far as this
// account may look.
func holderOf(address string) holder {
	inodes := map[string]bool{}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		addListeningUnix(inodes, path)
	} else if at, err := net.ResolveTCPAddr("tcp", address); err == nil {
		for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			addListening(inodes, table, at.AddrPort())
		}
	}
	if len(inodes) == 0 {
		return holder{}
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err == nil {
			return describe(pid)
		}
	}
	return holder{}
}

// addListening collects the inodes of the sockets that keep others from listening
// at an address: of the same port, and of the same address or of all.
func addListening(inodes map[string]bool, table string, at netip.AddrPort) {
	const local, state, inode, listening = 1, 3, 9, "0A"
	for _, fields := range rows(table) {
		if len(fields) <= inode || fields[state] != listening {
			continue
		}
		found, ok := parseKernelAddress(fields[local])
		if !ok || found.Port() != at.Port() {
			continue
		}
		everywhere := !at.Addr().IsValid() || at.Addr().IsUnspecified() || found.Addr().IsUnspecified()
		if everywhere || found.Addr() == at.Addr().Unmap() {
			inodes[fields[inode]] = true
		}
	}
}

// addListeningUnix collects the inodes of the sockets that listen at a path.
func addListeningUnix(inodes map[string]bool, at string) {
	const flags, inode, path, listening = 3, 6, 7, "00010000"
	for _, fields := range rows("/proc/net/unix") {
		if len(fields) > path && fields[flags] == listening && fields[path] == at {
			inodes[fields[inode]] = true
		}
	}
}

// rows are the lines of one of the kernel's tables.
func rows(table string) [][]string {
	raw, err := os.ReadFile(table)
	if err != nil {
		return nil
	}
	var out [][]string
	for line := range strings.Lines(string(raw)) {
		out = append(out, strings.Fields(line))
	}
	return out
}

// parseKernelAddress reads 0100007F:13BF: words in the machine's byte order, the port
// in the network's.
func parseKernelAddress(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	number, errPort := strconv.ParseUint(port, 16, 16)
	if err != nil || errPort != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), ok
}

func describe(pid int) holder {
	h := holder{pid: pid}
	if raw, err := os.ReadFile(procFile(pid, "cmdline")); err == nil {
		h.name = strings.TrimSpace(string(bytes.ReplaceAll(raw, []byte{0}, []byte{' '})))
	}
	if raw, err := os.ReadFile(procFile(pid, "stat")); err == nil {
		// The name in parentheses may hold anything; state and parent follow it.
		rest := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(rest) > 1 {
			h.parent, _ = strconv.Atoi(rest[1])
		}
	}
	return h
}
