package sqliteimport_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain makes the test binary hold a file open, as the original would, when it
// is started for that.
func TestMain(m *testing.M) {
	if path := os.Getenv("LLMCTL_TEST_HOLD"); path != "" {
		holdFile(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func holdFile(path string) {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		panic(err)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		panic(err)
	}
	if _, err := tx.Exec("INSERT INTO roles (id, name) VALUES (777, 'x')"); err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stdout, "held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = tx.Rollback()
	_ = db.Close()
}

// hold makes another process keep a write transaction on a file open; locks of
// the own process would not show.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "LLMCTL_TEST_HOLD="+path)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", line)
	return func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	}
}
