package vector

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func keyOf(source, revision int64) cacheKey {
	return cacheKey{source: source, revision: revision, embedder: 1}
}

// sized makes a cache of so many indexes of one size, whose loadings go on when they are let.
func sized(n int64, let <-chan struct{}) (*cache, int64) {
	size := newIndex(10, []int64{1, 2, 3}, []int64{1, 1, 1}).bytes()
	return newCache(n*size, func(ctx context.Context, _ cacheKey, r *room) (*index, error) {
		if err := r.take(ctx, size); err != nil {
			return nil, err
		}
		if let != nil {
			<-let
		}
		return newIndex(10, []int64{1, 2, 3}, []int64{1, 1, 1}), nil
	}), size
}

func use(t *testing.T, c *cache, key cacheKey) {
	t.Helper()
	_, release, err := c.get(t.Context(), key, false)
	require.NoError(t, err)
	release()
}

func TestTheCacheDropsWhatWasAskedForLongestAgo(t *testing.T) {
	t.Parallel()
	c, size := sized(2, nil)
	use(t, c, keyOf(1, 1))
	use(t, c, keyOf(2, 1))
	use(t, c, keyOf(1, 1))
	use(t, c, keyOf(3, 1))
	require.Contains(t, c.entries, keyOf(1, 1))
	require.NotContains(t, c.entries, keyOf(2, 1))
	use(t, c, keyOf(3, 2))
	require.NotContains(t, c.entries, keyOf(3, 1), "an older revision makes way for its successor")
	require.Equal(t, c.figures().Held, int64(len(c.entries))*size)
}

func TestLoadingsAndWhatIsReadCountAgainstTheLimit(t *testing.T) {
	t.Parallel()
	c, size := sized(2, nil)
	c.patience = time.Minute
	_, first, err := c.get(t.Context(), keyOf(1, 1), false)
	require.NoError(t, err)
	_, second, err := c.get(t.Context(), keyOf(2, 1), true)
	require.NoError(t, err)
	_, _, err = c.get(t.Context(), keyOf(3, 1), true)
	require.ErrorIs(t, err, errNoRoom, "who holds others does not wait for them")

	waits := make(chan error)
	go func() {
		_, third, err := c.get(context.WithoutCancel(t.Context()), keyOf(3, 1), false)
		if err == nil {
			third()
		}
		waits <- err
	}()
	require.Eventually(t, func() bool { return c.figures().Waited == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 2*size, c.figures().Held)
	first()
	first() // twice is once
	require.NoError(t, <-waits)
	second()
	require.LessOrEqual(t, c.figures().Held, 2*size)
	require.Equal(t, int64(len(c.entries))*size, c.figures().Held)
}

func TestWhoWaitsForRoomGoesWithItsContextOrItsPatience(t *testing.T) {
	t.Parallel()
	c, _ := sized(1, nil)
	_, release, err := c.get(t.Context(), keyOf(1, 1), false)
	require.NoError(t, err)
	defer release()
	c.patience = time.Millisecond
	_, _, err = c.get(t.Context(), keyOf(2, 1), false)
	require.ErrorIs(t, err, errNoRoom)
	c.patience = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(5*time.Millisecond, cancel)
	_, _, err = c.get(ctx, keyOf(3, 1), false)
	require.ErrorIs(t, err, context.Canceled)
	require.Eventually(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.flights) == 0 }, 10*time.Second, time.Millisecond)
}

func TestTheLimitHoldsWhateverManySearchesDo(t *testing.T) {
	t.Parallel()
	let := make(chan struct{})
	close(let)
	c, size := sized(3, let)
	c.patience = 10 * time.Millisecond
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				_, release, err := c.get(t.Context(), keyOf(int64((w*7+i)%9), int64(i%3)), i%2 == 0)
				if held := c.figures().Held; held > 3*size || held < 0 {
					t.Errorf("%d bytes of %d are held", held, 3*size)
				}
				if err == nil {
					release()
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, int64(len(c.entries))*size, c.figures().Held, "nothing is held that is not kept")
	for _, e := range c.entries {
		require.Zero(t, e.pins)
	}
}
