package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmctl/studio/internal/document/process"
	"github.com/llmctl/studio/internal/executor"
)

// Bounds of the parsers of documents: together they take at most half of the memory that
// this process and they have.
const (
	maxParsers      = 4
	minParserMemory = 128 << 20
	maxParserMemory = 1 << 30
)

const parseDocuments = "parse-documents"

// parseDocuments is the child that reads documents.
func (c *command) parseDocuments() *cobra.Command {
	var memory int64
	cmd := &cobra.Command{
		Use: parseDocuments, Short: "Read documents for a process of the Studio", Args: cobra.NoArgs, Hidden: true,
		Long: `Answers requests for documents on standard input until that ends. It is started by
processes of the Studio, which hand it descriptors 3 and 4. Exit code 71: a document took
more memory than it may.`,
		RunE: func(*cobra.Command, []string) error {
			err := process.Serve(c.edge.Stdin, memory)
			if errors.Is(err, process.ErrMemory) {
				return exitError(process.ExitMemory)
			}
			return err
		},
	}
	cmd.Flags().Int64Var(&memory, "memory", process.DefaultMemory, "bytes of memory that a document may take")
	return cmd
}

// documents are the parsers of a process, as one of its services.
type documents struct{ *process.Parser }

// Name implements lifecycle.Service.
func (*documents) Name() string { return "document parsers" }

// Run implements lifecycle.Service: what stops later needs no document.
func (d *documents) Run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	d.Close()
	return nil
}

func newDocuments(log *slog.Logger) (*documents, error) {
	slots := min(max(runtime.GOMAXPROCS(0), 1), maxParsers)
	p, err := process.New(process.Options{
		Command: selfCommand(parseDocuments), Slots: slots, Memory: parserMemory(memoryHere(executor.CgroupRoot, "/proc/meminfo"), slots), Log: log,
	})
	return &documents{p}, err
}

// selfCommand is the running program itself, also when a new one has taken its place on
// disk.
func selfCommand(args ...string) []string {
	program := "/proc/self/exe"
	if exe, err := os.Executable(); err == nil && runtime.GOOS != "linux" {
		program = exe
	}
	return append([]string{program}, args...)
}

// parserMemory is what one of so many parsers may take of all memory; 0: nobody knows how
// much there is.
func parserMemory(all int64, slots int) int64 {
	if all <= 0 {
		return minParserMemory * 4
	}
	return min(max(all/2/int64(slots), minParserMemory), maxParserMemory)
}

// memoryHere is the limit of the container, of either version of control groups, or what
// the machine has; 0: it cannot be read.
func memoryHere(cgroup, meminfo string) int64 {
	var all int64
	if raw, err := os.ReadFile(meminfo); err == nil {
		for line := range strings.Lines(string(raw)) {
			if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
				kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
				all = kib << 10
			}
		}
	}
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		raw, err := os.ReadFile(filepath.Join(cgroup, name))
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil && n > 0 && (all == 0 || n < all) {
			all = n
		}
	}
	return all
}
