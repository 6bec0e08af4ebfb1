package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	role          = "llmctl" // owner of everything in the cluster
	initTimeout   = 3 * time.Minute
	singleTimeout = time.Minute
)

// makeCluster makes an empty cluster in data with the password.
func makeCluster(ctx context.Context, p place, prog programs, data, password string) error {
	building := data + ".new"
	if err := os.RemoveAll(building); err != nil {
		return fmt.Errorf("clear an interrupted cluster: %w", err)
	}
	secret := filepath.Join(p.root, "initdb.secret")
	if err := writeFile(secret, password+"\n", 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(secret) }()
	if err := p.account.own(secret); err != nil {
		return fmt.Errorf("hand over the first password: %w", err)
	}
	// Sorting by bytes is the same on every machine and survives upgrades of the
	// C library. The character classes are Unicode's where the system has them.
	var err error
	for _, ctype := range []string{"C.UTF-8", "C"} {
		if err = initdb(ctx, p, prog, building, secret, ctype); err == nil {
			break
		}
		_ = os.RemoveAll(building)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(building, data); err != nil {
		return fmt.Errorf("put the cluster in place: %w", err)
	}
	return nil
}

func initdb(ctx context.Context, p place, prog programs, dir, secret, ctype string) error {
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, prog.path("initdb"), //nolint:gosec // the program that was found
		"--pgdata="+dir, "--username="+role, "--pwfile="+secret, "--encoding=UTF8",
		"--lc-collate=C", "--lc-ctype="+ctype, "--lc-messages=C", "--lc-monetary=C", "--lc-numeric=C", "--lc-time=C",
		"--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "--data-checksums", "--no-instructions")
	return runAs(cmd, p, prog, "make a database cluster")
}

// resetPassword gives the role a new password without a server, for data whose
// password file got lost.
func resetPassword(ctx context.Context, p place, prog programs, data, password string) error {
	ctx, cancel := context.WithTimeout(ctx, singleTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, prog.path("postgres"), "--single", "-D", data, "postgres") //nolint:gosec // the program that was found
	// The password is generated from letters and digits, so it needs no quoting.
	cmd.Stdin = strings.NewReader("ALTER ROLE " + role + " PASSWORD '" + password + "'\n")
	return runAs(cmd, p, prog, "set a new database password")
}

// runAs runs a short program under the account and puts its output into the error.
func runAs(cmd *exec.Cmd, p place, prog programs, what string) error {
	cmd.Dir = p.root
	cmd.Env = environment(prog)
	cmd.SysProcAttr = attributes(p.account)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", what, err, lastLines(string(out), 5))
	}
	return nil
}

// environment is all that the programs see of ours: nothing.
func environment(prog programs) []string {
	return []string{
		"PATH=" + prog.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC",
		// The npm package's programs look for their libraries beside themselves.
		"LD_LIBRARY_PATH=" + filepath.Join(filepath.Dir(prog.bin), "lib"),
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// password reads the cluster's password, or makes one and says so.
func (p place) password() (password string, fresh bool, err error) {
	text, err := os.ReadFile(p.passwordFile())
	if err == nil && len(strings.TrimSpace(string(text))) > 0 {
		return strings.TrimSpace(string(text)), false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("read the database password: %w", err)
	}
	return rand.Text(), true, nil
}

func (p place) passwordFile() string { return filepath.Join(p.root, "password") }
