package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
)

func TestParseURIAcceptsWhatPeopleHave(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ give, host, user, password, database string }{
		"plain":            {"postgresql://u:p@db:5433/studio", "db", "u", "p", "studio"},
		"short":            {"postgres://u:p@db:5433/studio", "db", "u", "p", "studio"},
		"psycopg":          {"postgresql+psycopg://u:p@db:5433/studio", "db", "u", "p", "studio"},
		"psycopg2":         {"postgresql+psycopg2://u:p@db:5433/studio?client_encoding=utf8", "db", "u", "p", "studio"},
		"asyncpg":          {"postgresql+asyncpg://u:p@db:5433/studio?prepared_statement_cache_size=0", "db", "u", "p", "studio"},
		"upper case":       {"POSTGRESQL+Psycopg://u:p@db:5433/studio", "db", "u", "p", "studio"},
		"quoted":           {"postgresql://a%40b:p%2Fw%3A%3F@db:5433/studio", "db", "a@b", "p/w:?", "studio"},
		"raw at sign":      {"postgresql://u:p@ss@db:5433/studio", "db", "u", "p@ss", "studio"},
		"raw percent":      {"postgresql://u:100%@db:5433/studio", "db", "u", "100%", "studio"},
		"raw slash":        {"postgresql://u:a/b@db:5433/studio", "db", "u", "a/b", "studio"},
		"raw question":     {"postgresql://u:a?#b@db:5433/studio", "db", "u", "a?#b", "studio"},
		"at in parameter":  {"postgresql://u:p@db:5433/studio?application_name=me@box", "db", "u", "p", "studio"},
		"plus stays":       {"postgresql://u:a+b@db:5433/studio", "db", "u", "a+b", "studio"},
		"ipv6":             {"postgresql://u:p@[::1]:5433/studio", "::1", "u", "p", "studio"},
		"socket directory": {"postgresql://u:p@/studio?host=/run/pg&port=5433", "/run/pg", "u", "p", "studio"},
		"spaces around":    {" postgresql://u:p@db:5433/studio\n", "db", "u", "p", "studio"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn, err := ParseURI(c.give)
			require.NoError(t, err)
			parsed, err := pgxpool.ParseConfig(dsn)
			require.NoError(t, err)
			cc := parsed.ConnConfig
			require.Equal(t, []string{c.host, c.user, c.password, c.database}, []string{cc.Host, cc.User, cc.Password, cc.Database})
			require.EqualValues(t, 5433, cc.Port)
			require.NotContains(t, cc.RuntimeParams, "prepared_statement_cache_size")
		})
	}
}

func TestParseURITranslatesTLS(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"ssl=require": "sslmode=require", "ssl=true": "sslmode=require", "ssl=0": "sslmode=disable",
		"ssl=verify-full": "sslmode=verify-full", "sslmode=disable&ssl=true": "sslmode=disable", "timeout=7": "connect_timeout=7",
	} {
		dsn, err := ParseURI("postgresql+asyncpg://u:p@db/studio?" + query)
		require.NoError(t, err, query)
		require.Equal(t, "postgresql://u:p@db/studio?"+want, dsn)
	}
}

func TestParseURIRefusesWithoutLeaking(t *testing.T) {
	t.Parallel()
	for give, want := range map[string]string{
		"":                                        "empty",
		"sqlite:///tmp/hunter2.db":                "llmctl db import-sqlite",
		"mysql://u:hunter2@db/x":                  "postgresql://",
		"u:hunter2@db/x":                          "postgresql://",
		"postgresql+odbc://u:hunter2@db/x":        "odbc is not known",
		"postgresql://u:hunter2@db:port/x":        "malformed",
		"postgresql://u:hunter2@db:99999/x":       "host, port",
		"postgresql://u:hunter2@db/x?ssl=maybe":   "ssl must be",
		"postgresql://u:hunter2@db/x?sslmode=no":  "parameters",
		"postgresql://u:hunter2@db/x?a=%zz":       "malformed",
		"postgresql://u:hunter2@[::1/x":           "malformed",
		"postgresql://u:hunter2@db/x?port=eleven": "parameters",
	} {
		dsn, err := ParseURI(give)
		require.Empty(t, dsn, give)
		require.ErrorContains(t, err, want, give)
		require.True(t, errs.HasReason(err, ReasonURI))
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func FuzzParseURIResultIsAccepted(f *testing.F) {
	f.Add("postgresql+psycopg://u:p@db:5432/x?ssl=true")
	f.Add("postgresql://@/?@")
	f.Fuzz(func(t *testing.T, uri string) {
		dsn, err := ParseURI(uri)
		if err != nil {
			return
		}
		_, err = pgxpool.ParseConfig(dsn)
		require.NoError(t, err)
	})
}
