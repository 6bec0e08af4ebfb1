// Command queue is a worker of bench/queue_test.go: the Studio's queue with slots,
// whose jobs do nothing.
//
//	queue uri slots jobs       works that many jobs, and ends
//	queue uri slots jobs file  the same, and writes when each began
//
// It prints "ready" when it takes jobs, and then how many nanoseconds passed until
// all were worked and recorded as such.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(ctx context.Context, arguments []string) error {
	slots, err := strconv.Atoi(arguments[1])
	if err != nil {
		return err
	}
	jobs, err := strconv.ParseInt(arguments[2], 10, 64)
	if err != nil {
		return err
	}
	note := func(int64) {}
	if len(arguments) > 3 {
		var end func() error
		if note, end, err = clock(arguments[3]); err != nil {
			return err
		}
		defer func() { _ = end() }()
	}
	db, err := postgres.Open(ctx, postgres.Options{URI: arguments[0], MaxConns: 12})
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, done := context.WithCancel(ctx)
	defer done()
	var worked atomic.Int64
	client, err := queue.NewClient(queue.Options{
		DB: db, Logger: slog.New(slog.DiscardHandler), Queues: queue.Names(), Slots: slots,
		Handlers: []queue.Handler{{Kind: "noop", Work: func(_ context.Context, id int64) {
			note(id)
			if worked.Add(1) == jobs {
				done()
			}
		}}},
	})
	if err != nil {
		return err
	}
	var began time.Time
	if err := client.Run(ctx, func() {
		began = time.Now()
		_, _ = fmt.Fprintln(os.Stdout, "ready")
	}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, time.Since(began).Nanoseconds())
	return err
}

// clock writes when each job began.
func clock(path string) (note func(id int64), end func() error, err error) {
	file, err := os.Create(path) //nolint:gosec // the benchmark's
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	w := bufio.NewWriter(file)
	return func(id int64) {
			now := time.Now().UnixNano()
			mu.Lock()
			defer mu.Unlock()
			_, _ = fmt.Fprintln(w, id, now)
		}, func() error {
			if err := w.Flush(); err != nil {
				return err
			}
			return file.Close()
		}, nil
}
