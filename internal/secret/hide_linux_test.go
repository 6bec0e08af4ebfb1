package secret_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/secret"
)

// The test binary plays all roles.
const (
	roleHolder  = "holder"  // has a secret; hides it if told to
	roleReader  = "reader"  // another process of the same user that wants it
	roleStarted = "started" // what the holder starts
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case roleHolder:
			os.Exit(holder(os.Args[2] == "hide"))
		case roleReader:
			os.Exit(reader(os.Args[2]))
		case roleStarted:
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

func holder(hide bool) int {
	if hide {
		if err := secret.HideMemory(); err != nil {
			fmt.Fprintln(os.Stdout, err)
			return 1
		}
	}
	started := exec.Command("/proc/self/exe", roleStarted, "-")
	started.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setsid: true}
	fmt.Fprintln(os.Stdout, "started:", started.Run())
	_, err := os.Readlink("/proc/self/exe")
	fmt.Fprintln(os.Stdout, "own exe:", err)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return 0
}

func reader(pid string) int {
	environ, err := os.ReadFile("/proc/" + pid + "/environ")
	fmt.Fprintln(os.Stdout, "environ:", strings.Contains(string(environ), "THE_SECRET"), err)
	f, err := os.Open("/proc/" + pid + "/mem")
	fmt.Fprintln(os.Stdout, "mem:", f != nil, err)
	return 0
}

// unprivileged runs a role as somebody who is not root.
func unprivileged(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Dir, cmd.Env = "/", []string{"KEY=THE_SECRET"}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return cmd
}

func TestAnotherProcessOfTheSameUserCannotReadTheMemory(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{
		"show": "environ: true <nil>\n", // else the test would prove nothing; memory may be closed by the system anyway
		"hide": "environ: false open /proc/PID/environ: permission denied\nmem: false open /proc/PID/mem: permission denied\n",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			h := unprivileged(t, roleHolder, mode)
			in, err := h.StdinPipe()
			require.NoError(t, err)
			out, err := h.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, h.Start())
			lines := bufio.NewScanner(out)
			for _, want := range []string{"started: <nil>", "own exe: <nil>"} {
				require.True(t, lines.Scan())
				require.Equal(t, want, lines.Text(), "it still starts itself and knows its own program")
			}
			pid := fmt.Sprint(h.Process.Pid)
			got, err := unprivileged(t, roleReader, pid).Output()
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(got), strings.ReplaceAll(want, "PID", pid)), string(got))
			require.NoError(t, in.Close())
			require.NoError(t, h.Wait())
		})
	}
}
