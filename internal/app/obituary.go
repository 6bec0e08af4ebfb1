package app

import (
	"context"
	"log/slog"

	"github.com/llmctl/studio/internal/peers"
	"github.com/llmctl/studio/internal/postgres"
)

// obituary takes workers that have ended off the list of web workers. Those that end
// in order have done so themselves; the killed ones cannot.
type obituary struct {
	db    *postgres.DB
	log   *slog.Logger
	names chan string
}

// maxObituaries is more than die at once; whoever is left out is found by the other
// workers a little later.
const maxObituaries = 1024

func newObituary(db *postgres.DB, log *slog.Logger) *obituary {
	return &obituary{db: db, log: log, names: make(chan string, maxObituaries)}
}

// note never waits.
func (o *obituary) note(name string) {
	select {
	case o.names <- name:
	default:
	}
}

// run works until close, and then what is left.
func (o *obituary) run(ctx context.Context) {
	for name := range o.names {
		names := []string{name}
		for more := true; more; {
			select {
			case next, ok := <-o.names:
				if more = ok; ok {
					names = append(names, next)
				}
			default:
				more = false
			}
		}
		if err := peers.Remove(ctx, o.db, names...); err != nil {
			o.log.WarnContext(ctx, "workers that have ended stay on the list until the others find them dead", "error", err)
		}
	}
}

func (o *obituary) close() { close(o.names) }
