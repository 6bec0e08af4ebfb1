package sqliteimport

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// row is a row of the source by column: nil, int64, float64, string or []byte.
type row map[string]any

// query selects all columns. The plus sign hides the declared type, by which the
// driver would interpret dates and booleans: how they are read is ours to say.
func (t *table) query() string {
	columns := make([]string, len(t.columns))
	for i, c := range t.columns {
		columns[i] = "+" + quoted(c)
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + quoted(t.name)
}

// each calls f for every row of a table, in the order of its ids. A table that
// the file does not have has no rows.
func (s *source) each(ctx context.Context, name string, f func(row) error) error {
	t := s.tables[name]
	if t == nil {
		return nil
	}
	q := t.query()
	if t.has("id") {
		q += ` ORDER BY "id"`
	}
	return s.scan(ctx, t, f, q)
}

// where calls f for the rows of which a column has a value.
func (s *source) where(ctx context.Context, name, column string, value any, f func(row) error) error {
	t := s.tables[name]
	if t == nil || !t.has(column) {
		return nil
	}
	q := t.query() + " WHERE " + quoted(column) + " = ?"
	if t.has("id") {
		q += ` ORDER BY "id"`
	}
	return s.scan(ctx, t, f, q, value)
}

func (s *source) scan(ctx context.Context, t *table, f func(row) error, query string, args ...any) error {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return s.explain(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		r, err := scanRow(rows, t.columns)
		if err != nil {
			return s.explain(err)
		}
		if err := f(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return s.explain(err)
	}
	return nil
}

func scanRow(rows *sql.Rows, columns []string) (row, error) {
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, fmt.Errorf("read a row: %w", err)
	}
	r := make(row, len(columns))
	for i, c := range columns {
		r[c] = values[i]
	}
	return r, nil
}

// maxOf gives the highest value of an integer column, 0 if there is none.
func (s *source) maxOf(ctx context.Context, name, column string) (int64, error) {
	if t := s.tables[name]; t == nil || !t.has(column) {
		return 0, nil
	}
	var out sql.NullInt64
	err := s.db.QueryRowContext(ctx, "SELECT max("+quoted(column)+") FROM "+quoted(name)+" WHERE typeof("+quoted(column)+") = 'integer'").Scan(&out)
	if err != nil {
		return 0, s.explain(err)
	}
	return out.Int64, nil
}
