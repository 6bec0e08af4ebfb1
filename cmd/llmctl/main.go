// Command llmctl is llmctl Studio: one binary, a command for each role.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := app.Main(ctx, app.Edge{
		Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now,
	})
	stop()
	os.Exit(code)
}
