package app_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/app"
)

func TestAnOrderToStopDuringTheStartIsNoFailure(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"worker", "beat"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			// A database that takes connections and says nothing.
			silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go func() {
				if conn, err := silent.Accept(); err == nil {
					stop()
					_ = conn.Close()
				}
			}()
			t.Cleanup(func() { _ = silent.Close() })
			var stderr bytes.Buffer
			code := app.Main(ctx, app.Edge{
				Args: []string{role}, Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: &stderr, Now: time.Now,
				Environ: []string{
					"LLMCTL_STUDIO_DATABASE_URI=postgresql://u:p@" + silent.Addr().String() + "/d", "LLMCTL_STUDIO_DATA_DIR=" + t.TempDir(),
					"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_INTERNAL_BIND=off",
				},
			})
			require.Zero(t, code, "%s", &stderr)
		})
	}
}
