package kubetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Daemon is a process of the rig's control plane or node: apiserver, etcd,
// controller-manager, scheduler, kubelet, proxy or containerd.
type Daemon struct {
	Name string

	cluster   *Cluster
	arguments []string // its command line, read while it ran
}

// Daemon gives a running daemon of the rig. A test that disturbs one must not run beside
// others. At its end the daemon is started again if the test left it dead.
func (c *Cluster) Daemon(tb testing.TB, name string) *Daemon {
	tb.Helper()
	c.needRig(tb, "its daemons can be killed")
	d := &Daemon{Name: name, cluster: c}
	pid := d.pid(tb)
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	require.NoError(tb, err, "daemon %s", name)
	d.arguments = strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
	tb.Cleanup(func() {
		if d.running() {
			_ = syscall.Kill(d.pid(tb), syscall.SIGCONT)
			return
		}
		d.Start(tb)
	})
	return d
}

func (d *Daemon) pidFile() string { return filepath.Join(d.cluster.dir, "run", d.Name+".pid") }

// read gives the process and the time it began, by which the rig tells it from a later
// one with the same number.
func (d *Daemon) read() (pid int, begun string, err error) {
	raw, err := os.ReadFile(d.pidFile())
	if err != nil {
		return 0, "", err
	}
	_, err = fmt.Sscan(string(raw), &pid, &begun)
	return pid, begun, err
}

func (d *Daemon) pid(tb testing.TB) int {
	tb.Helper()
	pid, _, err := d.read()
	require.NoError(tb, err, "daemon %s", d.Name)
	return pid
}

func (d *Daemon) running() bool {
	pid, begun, err := d.read()
	if err != nil {
		return false
	}
	at, state, err := startedAt(pid)
	return err == nil && at == begun && state != "Z"
}

// startedAt reads the start time of a process and its state from /proc.
func startedAt(pid int) (begun, state string, err error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", "", err
	}
	_, rest, ok := bytes.Cut(raw, []byte(") "))
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 20 {
		return "", "", fmt.Errorf("process %d: unreadable stat", pid)
	}
	return fields[19], fields[0], nil
}

// Signal sends it a signal, such as SIGSTOP.
func (d *Daemon) Signal(tb testing.TB, s syscall.Signal) {
	tb.Helper()
	require.NoError(tb, syscall.Kill(d.pid(tb), s), "signal %s", d.Name)
}

// Kill ends it with SIGKILL and waits until it is gone.
func (d *Daemon) Kill(tb testing.TB) {
	tb.Helper()
	d.Signal(tb, syscall.SIGKILL)
	Eventually(tb, patience, "the end of "+d.Name, func(context.Context) error {
		if d.running() {
			return errors.New("it still runs")
		}
		return nil
	})
}

// Start starts it again as it was started before, in the rig's network, with the same
// log. It does not wait until it serves: see AwaitAPI and AwaitNode.
func (d *Daemon) Start(tb testing.TB) {
	tb.Helper()
	log, err := os.OpenFile(filepath.Join(d.cluster.dir, "log", d.Name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(tb, err)
	defer closeQuietly(log)
	// It outlives the test: no context ends it, the rig's own pid file does.
	cmd := exec.Command("nsenter", append([]string{"--net=/run/netns/" + d.cluster.name}, d.arguments...)...) //nolint:noctx // see above
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	require.NoError(tb, cmd.Start(), "start %s", d.Name)
	pid := cmd.Process.Pid
	begun, _, err := startedAt(pid)
	require.NoError(tb, err, "start %s", d.Name)
	require.NoError(tb, os.WriteFile(d.pidFile(), fmt.Appendf(nil, "%d %s\n", pid, begun), 0o600))
	go func() { _ = cmd.Wait() }() // so that a killed one does not stay as a zombie
}

// Restart kills it and starts it again.
func (d *Daemon) Restart(tb testing.TB) {
	tb.Helper()
	d.Kill(tb)
	d.Start(tb)
}

// AwaitAPI waits until the API server is ready.
func (c *Cluster) AwaitAPI(tb testing.TB) {
	tb.Helper()
	Eventually(tb, patience, "the API server", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return c.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// AwaitNode waits until the rig's node is ready and has said so after a moment in time:
// a dead kubelet's node stays ready for a while.
func (c *Cluster) AwaitNode(tb testing.TB, after time.Time) {
	tb.Helper()
	Eventually(tb, patience, "node "+c.name, func(ctx context.Context) error {
		node, err := c.Client.CoreV1().Nodes().Get(ctx, c.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && !condition.LastHeartbeatTime.Time.Before(after.Truncate(time.Second)) {
				return nil
			}
		}
		return errors.New("it is not ready")
	})
}
