package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/config"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/redisconn"
)

// sharedBus reaches the other processes on the same database: through Redis where
// one is named, else through the database.
func sharedBus(ctx context.Context, cfg *config.Config, db *postgres.DB, log *slog.Logger) (bus.Bus, error) {
	address, err := redisAddress(cfg)
	if err != nil {
		return nil, err
	}
	if address == nil {
		return bus.NewPostgres(db, bus.PostgresOptions{Logger: log}), nil
	}
	channel, err := busChannel(ctx, address, db, log)
	if err != nil {
		return nil, err
	}
	return bus.NewRedis(address, bus.RedisOptions{Channel: channel, Logger: log}), nil
}

// redisAddress is nil when no Redis is named.
func redisAddress(cfg *config.Config) (*redisconn.Address, error) {
	queue := cfg.SocketIO.MessageQueue.Reveal()
	if queue == "" {
		return nil, nil //nolint:nilnil // none is named
	}
	address, err := redisconn.Parse(queue)
	if err != nil {
		return nil, errs.E(errs.Invalid, "config.message_queue", "LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE: "+err.Error()).With(err)
	}
	return address, nil
}

// busChannel belongs to one database: installations that share a Redis, knowing it
// or not, must not take each other's streams for their own.
func busChannel(ctx context.Context, address *redisconn.Address, db *postgres.DB, log *slog.Logger) (string, error) {
	channel := address.Channel("bus")
	var server, database int64
	err := db.QueryRow(ctx, `SELECT c.system_identifier, d.oid::int8 FROM pg_control_system() c, pg_database d
		WHERE d.datname = current_database()`).Scan(&server, &database)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "42501" { // insufficient_privilege
		log.WarnContext(ctx, "the database does not tell its identity; give every installation on this Redis a channel_prefix of its own", "channel", channel)
		return channel, nil
	}
	if err != nil {
		return "", fmt.Errorf("ask the database for its identity: %w", err)
	}
	return channel + ":" + strconv.FormatUint(uint64(server), 36) + "-" + strconv.FormatInt(database, 36), nil
}
