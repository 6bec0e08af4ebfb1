package git

import (
	"context"
	"path/filepath"
	"time"

	"github.com/llmctl/studio/internal/rag/fetch/local"
)

// ErrLocal is looked for by tests.
var ErrLocal = errLocal

// Lock takes the lock of a copy.
func Lock(ctx context.Context, dir string) (func(), error) { return cache{dir: dir}.lock(ctx) }

// RunFor calls a program for so long at most.
func RunFor(ctx context.Context, path, home string, most time.Duration) error {
	_, err := program{path: path, home: home}.run(ctx, command{args: []string{"x"}, time: most})
	return err
}

// Tidy tidies a copy up with a program.
func Tidy(ctx context.Context, path, dir string, most time.Duration) error {
	return cache{dir: dir, program: program{path: path, home: filepath.Dir(dir)}}.tidy(ctx, most)
}

// SameOwner compares two addresses.
func SameOwner(source, submodule string) bool {
	a, _ := parse(source, local.Roots{})
	b, _ := parse(submodule, local.Roots{})
	return a.sameOwner(b)
}
