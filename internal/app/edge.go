package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/errs"
)

// Edge is everything of the process that a command may touch.
type Edge struct {
	Args    []string // without the program's name
	Environ []string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Now     func() time.Time
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// exitError carries the exit code of a command whose output has said why.
type exitError int

// Error names the code.
func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// Main runs a command line until it is done or ctx ends, and gives the exit code.
func Main(ctx context.Context, edge Edge) int {
	root := newRoot(edge) //nolint:contextcheck // commands get the context when they run
	root.SetArgs(edge.Args)
	root.SetIn(edge.Stdin)
	root.SetOut(edge.Stdout)
	root.SetErr(edge.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	if e, ok := errors.AsType[*errs.Error](err); ok {
		_, _ = fmt.Fprintf(edge.Stderr, "llmctl: %s\n", e.Message)
		for _, d := range e.Details {
			_, _ = fmt.Fprintf(edge.Stderr, "  %s %s\n", d.Location, d.Message)
		}
		return exitFailed
	}
	_, _ = fmt.Fprintf(edge.Stderr, "llmctl: %s\n", err)
	if _, ok := errors.AsType[*config.Error](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }
