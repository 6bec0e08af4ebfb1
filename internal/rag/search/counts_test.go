package search

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/rag/scope"
)

func TestCountsAreOfARevisionAndAreBelievedForAWhile(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	c := newCounts(func() time.Time { return at })
	of := func(revision int64) []source { return []source{{Source: scope.Source{ID: 1, Revision: revision}}} }
	c.put(of(1), "'a'", 7)
	n, known := c.get(of(1), "'a'")
	require.True(t, known)
	require.Equal(t, 7, n)
	_, known = c.get(of(2), "'a'")
	require.False(t, known, "another revision")
	_, known = c.get(append(of(1), of(2)...), "'a'")
	require.False(t, known, "other sources")
	at = at.Add(countsFor)
	_, known = c.get(of(1), "'a'")
	require.False(t, known)

	for i := range 2*maxCounts + 1 {
		at = at.Add(time.Microsecond)
		c.put(of(1), strconv.Itoa(i), i)
	}
	require.LessOrEqual(t, len(c.list), maxCounts)
	_, known = c.get(of(1), strconv.Itoa(2*maxCounts))
	require.True(t, known, "the newest stay")
	var none *counts
	none.put(of(1), "x", 1)
	_, known = none.get(of(1), "x")
	require.False(t, known)
}
