package git

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/errs"
)

// Resolver gives the addresses of a host that may be connected to.
type Resolver interface {
	Resolve(ctx context.Context, host, port string) ([]netip.Addr, error)
}

// connection is what commands need that speak with a remote.
type connection struct {
	url    string
	env    []string
	config [][2]string
	agent  *keyAgent
	place  *os.File // the folder of a repository here
}

func (c *connection) close() {
	if c.place != nil {
		_ = c.place.Close()
	}
	if c.agent != nil {
		c.agent.close()
	}
}

// command prepares a call that speaks with the remote.
func (c *connection) command(dir string, args ...string) command {
	return command{dir: dir, args: args, env: c.env, config: c.config, place: c.place}
}

// through has git speak with the remote by way of a program's input and output. Left to
// itself, git has a shell start ssh and the server of a local repository; here nothing reads
// the words again, and it works where there is no shell, as in the container images.
func (c *connection) through(words ...string) {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = bridgeQuoted(w)
	}
	c.url = "ext::" + strings.Join(quoted, " ")
	c.env = []string{"GIT_ALLOW_PROTOCOL=ext", "GIT_PROTOCOL=version=2"}
}

// bridgeQuoted is for git-remote-ext, which takes words apart at spaces; % begins what it
// puts in.
func bridgeQuoted(s string) string {
	return strings.NewReplacer("%", "%%", " ", "% ").Replace(s)
}

// connect finds out where a remote is and how it is spoken with. Secrets go along only
// if the remote is where they were entered for.
func (f *Fetcher) connect(ctx context.Context, p program, r remote, secrets bool) (*connection, error) {
	c := &connection{url: r.u.String(), env: []string{"GIT_ALLOW_PROTOCOL=" + r.u.Scheme}}
	if r.u.Scheme == schemeFile {
		if err := f.connectFolder(ctx, p, c, r.u.Path); err != nil {
			c.close()
			return nil, err
		}
		return c, nil
	}
	addresses, err := f.resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.u.Scheme == schemeSSH {
		return c, f.connectSSH(c, r, addresses[0], secrets)
	}
	if net.ParseIP(r.u.Hostname()) == nil {
		c.config = append(c.config, [2]string{"http.curloptResolve", r.u.Hostname() + ":" + r.port() + ":" + joined(addresses)})
	}
	if token := f.o.Token; token != "" && secrets {
		if r.u.Scheme == schemeHTTP && !addresses[0].IsLoopback() {
			return nil, errs.Ef(errs.Invalid, "rag.git_token_in_clear", "A token is not sent over http://, where others can read it. Use https://%s.", r.u.Host)
		}
		c.config = append(c.config, [2]string{"http." + r.u.String() + ".extraHeader", "Authorization: Basic " + basic(token)})
	}
	return c, nil
}

// basic is how Git servers take tokens: as a password, with a user that they do not look
// at, unless one was given with it.
func basic(token string) string {
	if !strings.Contains(token, ":") {
		token = "x-access-token:" + token
	}
	return base64.StdEncoding.EncodeToString([]byte(token))
}

func joined(addresses []netip.Addr) string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = a.String()
		if a.Is6() {
			out[i] = "[" + out[i] + "]"
		}
	}
	return strings.Join(out, ",")
}

func (f *Fetcher) resolve(ctx context.Context, r remote) ([]netip.Addr, error) {
	addresses, err := f.o.Resolver.Resolve(ctx, r.u.Hostname(), r.port())
	if _, ok := errors.AsType[*egress.BlockedError](err); ok {
		return nil, errs.Ef(errs.Forbidden, "rag.address_refused",
			"%s is not a public address, and sources may not be there. An administrator allows it with LLMCTL_STUDIO_RAG_SOURCE_ALLOW.", r.u.Host).With(err)
	}
	if err != nil {
		return nil, errs.Ef(errs.Unavailable, "rag.git_unreachable", "The name %s cannot be resolved. Check the address, or the network.", r.u.Hostname()).With(err)
	}
	return addresses, nil
}

func (f *Fetcher) connectSSH(c *connection, r remote, address netip.Addr, secrets bool) error {
	alias := r.u.Hostname()
	if r.port() != "22" {
		alias = "[" + alias + "]:" + r.port()
	}
	options := []string{
		"BatchMode=yes", "StrictHostKeyChecking=accept-new", "UserKnownHostsFile=" + doubleQuoted(f.knownHosts()), "HostName=" + address.String(),
		"HostKeyAlias=" + alias, "ConnectTimeout=15", "ServerAliveInterval=15", "ServerAliveCountMax=4", "PreferredAuthentications=publickey",
		"IdentityFile=none", "ForwardAgent=no", "ClearAllForwardings=yes", "PermitLocalCommand=no", "CheckHostIP=no", "UpdateHostKeys=no",
		"SendEnv=GIT_PROTOCOL",
	}
	socket := "none"
	if f.o.SSHKey != "" && secrets {
		var err error
		if c.agent, err = startAgent(f.o.SSHKey); err != nil {
			return err
		}
		socket = c.agent.socket()
	}
	options = append(options, "IdentityAgent="+doubleQuoted(socket))
	words := []string{"ssh", "-F", "none", "-p", r.port()}
	for _, o := range options {
		words = append(words, "-o", o)
	}
	if name := r.u.User.Username(); name != "" {
		words = append(words, "-l", name)
	}
	c.through(append(words, "--", r.u.Hostname(), "git-upload-pack "+shellQuoted(r.pathThere()))...)
	return os.MkdirAll(filepath.Dir(f.knownHosts()), 0o700)
}

// shellQuoted is for the other side: SSH servers have the account's shell read the command.
func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// doubleQuoted is for ssh, whose options are words; % would begin one of its own.
func doubleQuoted(s string) string { return `"` + strings.ReplaceAll(s, "%", "%%") + `"` }
