package git_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch/git"
)

func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	block, err := ssh.MarshalPrivateKey(private, "test")
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	return signer, string(pem.EncodeToMemory(block))
}

// sshServer lets one key run git's own server programs.
type sshServer struct {
	t        *testing.T
	allowed  ssh.PublicKey
	host     atomic.Pointer[ssh.Signer] // that it shows to the next client
	listener net.Listener
	wg       sync.WaitGroup
}

func (r *rig) ssh(allowed ssh.PublicKey, host ssh.Signer) *sshServer {
	r.t.Helper()
	s := &sshServer{t: r.t, allowed: allowed}
	s.host.Store(&host)
	var err error
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(r.t, err)
	s.wg.Go(s.serve)
	return s
}

func (s *sshServer) stop() { _ = s.listener.Close(); s.wg.Wait() }

func (s *sshServer) config() *ssh.ServerConfig {
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(s.allowed.Marshal()) {
			return nil, os.ErrPermission
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(*s.host.Load())
	return config
}

func (s *sshServer) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer func() { _ = conn.Close() }()
			_, channels, requests, err := ssh.NewServerConn(conn, s.config())
			if err != nil {
				return
			}
			go ssh.DiscardRequests(requests)
			for c := range channels {
				channel, requests, err := c.Accept()
				if err != nil {
					return
				}
				s.session(channel, requests)
			}
		})
	}
}

func (s *sshServer) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	for req := range requests {
		if req.Type != "exec" {
			_ = req.Reply(req.Type == "env", nil)
			continue
		}
		_ = req.Reply(true, nil)
		program, path, _ := strings.Cut(string(req.Payload[4:]), " ")
		cmd := exec.Command("git", "-c", "safe.directory=*", strings.TrimPrefix(program, "git-"), strings.Trim(path, "'"))
		cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
		// Not as cmd.Stdin: Run would wait for its end, which the client may send after ours only.
		if in, err := cmd.StdinPipe(); err == nil {
			s.wg.Go(func() { _, _ = io.Copy(in, channel); _ = in.Close() })
		}
		_ = cmd.Run()
		_, _ = channel.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
		_ = channel.Close()
	}
}

func TestKeyOpensARepositoryOverSSHAndAnotherHostKeyIsRefused(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("ssh")
	require.NoError(t, err, "tools/deps.sh installs it")
	r := setup(t)
	r.repo("a", map[string]string{"f": "one"})
	user, private := newKey(t)
	host, _ := newKey(t)
	server := r.ssh(user.PublicKey(), host)
	defer server.stop()
	address := server.listener.Addr().String()
	o := r.options("ssh://git@" + address + filepath.Join(r.base, "a/.git"))
	err = r.fails(o)
	require.True(t, errs.HasReason(err, "rag.git_refused"), "%v", err)
	require.Contains(t, errs.As(err).Message, "wants an SSH key")
	_, other := newKey(t)
	o.SSHKey = other
	require.Contains(t, errs.As(r.fails(o)).Message, "refuses the SSH key")
	o.SSHKey = private
	tree, _ := r.sync(o)
	require.Equal(t, map[string]string{"f": "one"}, r.texts(tree))
	known, err := os.ReadFile(filepath.Join(r.data, "rag", "known_hosts"))
	require.NoError(t, err)
	require.Contains(t, string(known), "[127.0.0.1]:")

	changed, _ := newKey(t)
	server.host.Store(&changed)
	err = r.fails(o)
	require.True(t, errs.HasReason(err, "rag.git_host_key"), "%v", err)
}

func TestKeysAreChecked(t *testing.T) {
	t.Parallel()
	_, private := newKey(t)
	require.Empty(t, git.CheckKey(private))
	require.NotEmpty(t, git.CheckKey("ssh-ed25519 AAAA"))
	require.NotEmpty(t, git.CheckKey(""))
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("word"))
	require.NoError(t, err)
	require.Contains(t, git.CheckKey(string(pem.EncodeToMemory(block))), "passphrase")
}
