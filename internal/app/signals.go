package app

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// impatience calls f at the second order to stop and at each one after it: the first
// one has ended the process's context, whoever gives another does not want to wait.
// The caller ends it with stop.
func impatience(f func()) (stop func()) {
	orders := make(chan os.Signal, 4)
	signal.Notify(orders, syscall.SIGTERM, syscall.SIGINT)
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-orders:
			case <-ended:
				return
			}
			if n > 1 {
				f()
			}
		}
	}()
	return func() {
		signal.Stop(orders)
		close(ended)
		<-done
	}
}

// obeyed is how a role ended whose start was cut short by an order to stop: that is no
// failure.
func obeyed(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
