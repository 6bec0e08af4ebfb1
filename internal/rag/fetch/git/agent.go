package git

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// CheckKey says what is wrong with a private key; "": nothing.
func CheckKey(key string) string {
	if len(key) > 64<<10 {
		return "is longer than 64 KiB"
	}
	_, err := ssh.ParseRawPrivateKey([]byte(key))
	if _, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
		return "is protected by a passphrase; give a key without one (ssh-keygen -p removes it), made for this purpose and allowed to read only"
	}
	if err != nil {
		return "is no private key; accepted is the whole file that begins with -----BEGIN OPENSSH PRIVATE KEY----- (or an RSA or EC key in PEM)"
	}
	return ""
}

// keyAgent answers ssh's questions for signatures, so that the key stays here.
type keyAgent struct {
	dir      string
	listener net.Listener
	done     sync.WaitGroup
}

func startAgent(key string) (*keyAgent, error) {
	raw, err := ssh.ParseRawPrivateKey([]byte(strings.TrimSpace(key) + "\n"))
	if err != nil {
		return nil, fmt.Errorf("read SSH key: %w", err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: raw}); err != nil {
		return nil, fmt.Errorf("use SSH key: %w", err)
	}
	dir, err := os.MkdirTemp("", "llmctl-agent-") // 0700, and short enough for a socket's path
	if err != nil {
		return nil, fmt.Errorf("make a place for the SSH agent: %w", err)
	}
	a := &keyAgent{dir: dir}
	if a.listener, err = net.Listen("unix", a.socket()); err != nil { //nolint:noctx // it listens at once
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("start the SSH agent: %w", err)
	}
	a.done.Go(func() { a.serve(ring) })
	return a, nil
}

func (a *keyAgent) socket() string { return filepath.Join(a.dir, "s") }

func (a *keyAgent) serve(ring agent.Agent) {
	var open sync.Map
	for {
		conn, err := a.listener.Accept()
		if err != nil {
			open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true }) //nolint:forcetypeassert // see below
			return
		}
		open.Store(conn, true)
		a.done.Go(func() {
			_ = agent.ServeAgent(ring, conn)
			_ = conn.Close()
			open.Delete(conn)
		})
	}
}

func (a *keyAgent) close() {
	_ = a.listener.Close()
	a.done.Wait()
	_ = os.RemoveAll(a.dir)
}
