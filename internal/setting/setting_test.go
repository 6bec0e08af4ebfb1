package setting_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/setting"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

type colours struct {
	Sky  string `json:"sky"`
	Sea  string `json:"sea"`
	Sand *int   `json:"sand"`
}

type document = setting.Values[colours]

func places() setting.Document[document, *document] {
	return setting.Document[document, *document]{Section: "test", Key: "colours", Defaults: func() document {
		return document{Values: colours{Sky: "blue", Sea: "green", Sand: new(7)}}
	}}
}

func change(t *testing.T, db *postgres.DB, seen int64, f func(*document) error) (d document, err error) {
	t.Helper()
	err = db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		d, err = places().Change(ctx, tx, seen, f)
		return err
	})
	return d, err
}

func TestDocumentsKeepDefaultsUntilTheyAreChanged(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	d, err := places().Load(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, document{Revision: setting.Revision{Revision: 1}, Values: colours{Sky: "blue", Sea: "green", Sand: new(7)}}, d)

	_, err = change(t, db, 1, func(d *document) error { d.Values.Sky, d.Values.Sand = "grey", nil; return nil })
	require.NoError(t, err)
	// What an earlier release did not know keeps its default.
	_, err = db.Exec(t.Context(), `UPDATE setting SET value = value #- '{values,sea}' WHERE section = 'test'`)
	require.NoError(t, err)
	d, err = places().Load(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, document{Revision: setting.Revision{Revision: 2}, Values: colours{Sky: "grey", Sea: "green"}}, d)
}

func TestOnlyOneOfTwoWritersWinsARevision(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	faults := make(chan error, 2)
	for _, sky := range []string{"red", "black"} {
		go func() {
			_, err := change(t, db, 1, func(d *document) error { d.Values.Sky = sky; return nil })
			faults <- err
		}()
	}
	first, second := <-faults, <-faults
	require.NotEqual(t, first == nil, second == nil, "%v, %v", first, second)
	require.True(t, errs.HasReason(errors.Join(first, second), "setting.stale"))
}

func TestARefusedChangeKeepsTheDocument(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	refused := errors.New("no")
	_, err := change(t, db, 0, func(d *document) error { d.Values.Sky = "green"; return refused })
	require.ErrorIs(t, err, refused)
	d, err := places().Load(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, "blue", d.Values.Sky)
	require.EqualValues(t, 1, d.Revision.Revision)
}
