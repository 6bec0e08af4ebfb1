package serving

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
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
// stuck that it did not notice.
func (h holder) orphanOfOurs() bool {
	return h.pid > 1 && strings.HasPrefix(h.name, WorkerTitle) && h.parent <= 1
}

// holderOf finds the process that listens on host:port, as far as this account
// may look.
func holderOf(address string) holder {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return holder{}
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return holder{}
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		addListening(inodes, table, uint16(number))
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

// addListening collects the inodes of the sockets that listen on port.
func addListening(inodes map[string]bool, table string, port uint16) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	const local, state, inode, listening = 1, 3, 9, "0A"
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) <= inode || fields[state] != listening {
			continue
		}
		_, hexPort, _ := strings.Cut(fields[local], ":")
		if raw, err := hex.DecodeString(hexPort); err == nil && len(raw) == 2 && uint16(raw[0])<<8|uint16(raw[1]) == port {
			inodes[fields[inode]] = true
		}
	}
}

func describe(pid int) holder {
	h := holder{pid: pid}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	if raw, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
		h.name = strings.TrimSpace(string(bytes.ReplaceAll(raw, []byte{0}, []byte{' '})))
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "stat")); err == nil {
		// The name in parentheses may hold anything; state and parent follow it.
		rest := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(rest) > 1 {
			h.parent, _ = strconv.Atoi(rest[1])
		}
	}
	return h
}
