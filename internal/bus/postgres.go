package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

// PostgresOptions tune the postgres driver; the channel is "llmctl_bus" unless
// they say otherwise.
type PostgresOptions = Options

// maxPayload keeps a message below what NOTIFY takes (8000 bytes).
const maxPayload = 7 << 10

// Postgres sends hints with NOTIFY and hears them with LISTEN, each on a
// connection of its own, so that neither waits for the pool.
type Postgres struct{ *relay }

var _ Bus = (*Postgres)(nil)

// NewPostgres makes a bus over the database that db points at. It connects in
// Run.
func NewPostgres(db *postgres.DB, o PostgresOptions) *Postgres {
	o = o.withDefaults()
	if o.Channel == "" {
		o.Channel = "llmctl_bus"
	}
	link := &postgresLink{channel: o.Channel, config: db.Pool.Config().ConnConfig.Copy()}
	return &Postgres{newRelay("postgres", o, link, limits{message: maxPayload, hint: maxPayload - overhead})}
}

type postgresLink struct {
	channel string
	config  *pgx.ConnConfig
	conn    *pgx.Conn // that NOTIFY goes through
}

func (*postgresLink) open() {}

func (*postgresLink) close() {}

func (l *postgresLink) listen(ctx context.Context) (subscription, error) {
	conn, err := pgx.ConnectConfig(ctx, l.config.Copy())
	if err != nil {
		return nil, fmt.Errorf("connect to listen: %w", err)
	}
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{l.channel}.Sanitize()); err != nil {
		hangUp(conn)
		return nil, fmt.Errorf("listen: %w", err)
	}
	return postgresSubscription{conn}, nil
}

func (l *postgresLink) send(ctx context.Context, payloads []string) (err error) {
	if l.conn == nil {
		if l.conn, err = pgx.ConnectConfig(ctx, l.config.Copy()); err != nil {
			l.conn = nil
			return fmt.Errorf("connect to notify: %w", err)
		}
	}
	_, err = l.conn.Exec(ctx, `SELECT pg_notify($1, payload) FROM unnest($2::text[]) WITH ORDINALITY AS t (payload, ord) ORDER BY ord`,
		l.channel, payloads)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

func (l *postgresLink) drop() {
	if l.conn != nil {
		hangUp(l.conn)
		l.conn = nil
	}
}

type postgresSubscription struct{ conn *pgx.Conn }

func (s postgresSubscription) next(ctx context.Context) (string, error) {
	n, err := s.conn.WaitForNotification(ctx)
	if err != nil {
		return "", err
	}
	return n.Payload, nil
}

func (s postgresSubscription) hangUp() { hangUp(s.conn) }

func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the connection is given up anyway
}
