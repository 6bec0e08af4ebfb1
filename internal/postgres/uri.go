package postgres

import (
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/llmctl/studio/internal/errs"
)

// ReasonURI is the reason of every error of ParseURI.
const ReasonURI = "db.uri_invalid"

// ParseURI gives an address as the driver takes it. It accepts postgresql://,
// postgres://, and SQLAlchemy's forms with a driver (postgresql+psycopg://,
// +psycopg2, +asyncpg and others), whose driver-specific parameters it
// translates or drops. Errors have the reason ReasonURI and never hold the
// password.
func ParseURI(uri string) (string, error) {
	scheme, rest, found := strings.Cut(strings.TrimSpace(uri), "://")
	if !found {
		scheme, _, _ = strings.Cut(uri, ":")
	}
	dialect, driver, _ := strings.Cut(strings.ToLower(scheme), "+")
	switch {
	case dialect == "sqlite":
		return "", invalidURI("SQLite is not supported; llmctl db import-sqlite copies a SQLite file into PostgreSQL once")
	case uri == "":
		return "", invalidURI("it is empty")
	case !found || (dialect != "postgresql" && dialect != "postgres"):
		return "", invalidURI("it must begin with postgresql://, postgres:// or a SQLAlchemy form such as postgresql+psycopg://")
	case driver != "" && !slices.Contains(sqlalchemyDrivers(), driver):
		return "", invalidURI("the driver " + driver + " is not known; known are " + strings.Join(sqlalchemyDrivers(), ", "))
	}
	parsed, err := splitURI(rest)
	if err != nil {
		return "", err
	}
	if err := translateQuery(parsed); err != nil {
		return "", err
	}
	dsn := parsed.String()
	if _, err := pgxpool.ParseConfig(dsn); err != nil {
		// The driver's message may quote the address, so it is not passed on.
		return "", invalidURI("the driver does not accept its host, port or parameters")
	}
	return dsn, nil
}

func invalidURI(why string) error {
	return errs.E(errs.Invalid, ReasonURI, "The database address cannot be used: "+why+".")
}

func sqlalchemyDrivers() []string {
	return []string{"psycopg", "psycopg_async", "psycopg2", "psycopg2cffi", "asyncpg", "pg8000"}
}

// splitURI parses what follows the scheme. A password that was written down as
// it is gets encoded when that is unambiguous, as SQLAlchemy allows.
func splitURI(rest string) (*url.URL, error) {
	authority, path := cutAuthority(rest)
	user, host := "", authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		user, host = authority[:i], authority[i+1:]
	}
	parsed, err := url.Parse("postgresql://" + host + path)
	if err != nil {
		return nil, invalidURI("its host, port, name or parameters are malformed")
	}
	if user == "" {
		return parsed, nil
	}
	name, password, hasPassword := strings.Cut(user, ":")
	if !hasPassword {
		parsed.User = url.User(decodeOrKeep(name))
		return parsed, nil
	}
	parsed.User = url.UserPassword(decodeOrKeep(name), decodeOrKeep(password))
	return parsed, nil
}

// cutAuthority separates user:password@host:port from what follows. An @ after
// the first slash belongs to a raw password only if what stands before that
// slash cannot be a host and a port.
func cutAuthority(rest string) (authority, path string) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return rest, ""
	}
	at := strings.LastIndex(rest, "@")
	_, port, hasPort := strings.Cut(rest[:end], ":")
	isPort := strings.Trim(port, "0123456789") == ""
	if strings.Contains(rest[:end], "@") || at < 0 || !hasPort || isPort || strings.HasPrefix(rest, "[") {
		return rest[:end], rest[end:]
	}
	if next := strings.IndexAny(rest[at:], "/?#"); next >= 0 {
		return rest[:at+next], rest[at+next:]
	}
	return rest, ""
}

func decodeOrKeep(text string) string {
	if decoded, err := url.PathUnescape(text); err == nil {
		return decoded
	}
	return text
}

// translateQuery turns parameters of SQLAlchemy's drivers into libpq's.
func translateQuery(parsed *url.URL) error {
	query, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return invalidURI("its parameters are malformed")
	}
	if mode, ok := sslMode(query.Get("ssl")); query.Has("ssl") {
		if !ok {
			return invalidURI("ssl must be true, false, disable, allow, prefer, require, verify-ca or verify-full")
		}
		if !query.Has("sslmode") {
			query.Set("sslmode", mode)
		}
	}
	rename(query, "timeout", "connect_timeout")
	rename(query, "database", "dbname")
	// Settings of the Python drivers that have no meaning for this one.
	for _, name := range []string{
		"ssl", "async_fallback", "prepared_statement_cache_size", "prepared_statement_name_func",
		"statement_cache_size", "command_timeout", "client_encoding", "use_native_hstore", "executemany_mode",
	} {
		query.Del(name)
	}
	// SQLAlchemy repeats host for several servers; libpq's form is a list.
	for name, values := range query {
		if len(values) > 1 {
			query[name] = []string{strings.Join(values, ",")}
		}
	}
	parsed.RawQuery = query.Encode()
	return nil
}

func rename(query url.Values, from, to string) {
	if query.Has(from) && !query.Has(to) {
		query.Set(to, query.Get(from))
	}
	query.Del(from)
}

func sslMode(text string) (string, bool) {
	switch text = strings.ToLower(text); text {
	case "true", "1", "on":
		return "require", true
	case "false", "0", "off":
		return "disable", true
	case "disable", "allow", "prefer", "require", "verify-ca", "verify-full":
		return text, true
	default:
		return "", false
	}
}
