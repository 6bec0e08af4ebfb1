package serving

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestAddressesThatCannotBeListenedOnAreExplained(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("keep"), 0o600))
	for name, c := range map[string]struct{ address, want string }{
		"a file":           {"unix:" + file, "a file at " + file + " that is not a socket"},
		"too long":         {"unix:" + filepath.Join(dir, strings.Repeat("x", 120)), "too long for a Unix socket (at most 107 bytes)"},
		"no folder":        {"unix:" + filepath.Join(dir, "none", "s"), "The folder of unix:"},
		"not this machine": {"198.51.100.7:0", "This machine has no address 198.51.100.7:0"},
		"a folder":         {"unix:" + dir, "that is not a socket"},
		"below a file":     {"unix:" + filepath.Join(file, "s"), "listen on unix:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Listen(t.Context(), c.address, quiet())
			require.ErrorContains(t, err, c.want)
		})
	}
	t.Cleanup(func() {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "keep", string(raw))
	})
}

func TestTakenAddressNamesTheProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	u, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = u.Close() })
	tcp := listen(t)
	t.Cleanup(func() { _ = tcp.Close() })
	for _, address := range []string{"unix:" + path, tcp.Addr().String()} {
		t.Run(address[:5], func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // it is not waited for
			_, err := Listen(ctx, address, quiet())
			require.True(t, errs.Is(err, errs.Conflict), "%v", err)
			require.ErrorContains(t, err, describe(os.Getpid()).String())
		})
	}
}

func TestAddressThatBecomesFreeIsWaitedFor(t *testing.T) {
	t.Parallel()
	l := listen(t)
	address := l.Addr().String()
	got := make(chan error, 1)
	go func() {
		n, err := Listen(context.Background(), address, quiet())
		if err == nil {
			n.close(true)
		}
		got <- err
	}()
	pause(3 * takeoverPause)
	require.NoError(t, l.Close())
	require.NoError(t, <-got)
}

func TestStaleSocketFileIsReplacedAndRemovedAtTheEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	old, err := net.Listen("unix", path)
	require.NoError(t, err)
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, old.Close())
	require.FileExists(t, path)
	l, err := Listen(t.Context(), "unix:"+path, quiet())
	require.NoError(t, err)
	l.close(true)
	require.NoFileExists(t, path)
}

func TestPathThatIsSomebodyElsesStays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(t.Context(), "unix:"+path, quiet())
	require.NoError(t, err)
	require.NoError(t, os.Rename(path, path+".old"))
	other, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer func() { _ = other.Close() }()
	l.close(true)
	require.FileExists(t, path)
}

func TestListenerForAProcessWithoutAMaster(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(t.Context(), "unix:"+path, quiet())
	require.NoError(t, err)
	ln, err := l.Open()
	require.NoError(t, err)
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	_ = c.Close()
	require.NoError(t, ln.Close())
	require.NoFileExists(t, path)
}

func TestAdoptRefusesWhatIsNoSocket(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	_, err = adopt("127.0.0.1:1", int(f.Fd()))
	require.ErrorContains(t, err, "no socket")
}

func TestKernelAddressesAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0100007F:13BF":                         "127.0.0.1:5055",
		"00000000:0050":                         "0.0.0.0:80",
		"00000000000000000000000001000000:13BF": "[::1]:5055",
		"0000000000000000FFFF00000100007F:13BF": "127.0.0.1:5055",
	} {
		got, ok := parseKernelAddress(text)
		require.True(t, ok)
		require.Equal(t, netip.MustParseAddrPort(want), got)
	}
	for _, text := range []string{"", "local_address", "01:13BF", "0100007F", "0100007F:123456", "zz:1"} {
		_, ok := parseKernelAddress(text)
		require.False(t, ok, text)
	}
}

func TestHolderOfAnIPv6Address(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6: ", err)
	}
	defer func() { _ = l.Close() }()
	require.Equal(t, os.Getpid(), holderOf(l.Addr().String()).pid)
	require.Zero(t, holderOf("127.0.0.9:1").pid)
	require.False(t, describe(os.Getpid()).orphanOfOurs())
}
