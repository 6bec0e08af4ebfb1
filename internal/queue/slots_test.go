package queue

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// ask has a fetch wait for slots in the background.
func ask(s *slots, queue string, most int) <-chan int {
	got := make(chan int, 1)
	go func() {
		n, _ := s.reserve(queue, most)
		got <- n
	}()
	return got
}

// granted is what a fetch got by now; nothing: -1.
func granted(got <-chan int) int {
	synctest.Wait()
	select {
	case n := <-got:
		return n
	default:
		return -1
	}
}

func TestFloodGivesTheNextFreeSlotToTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(4, []string{Default, Downloads}, nil, time.Now)
		n, _ := s.reserve(Default, 10)
		require.Equal(t, 4, n, "nobody else wants any")
		s.settle(Default, 4, []int64{1, 2, 3, 4})
		flood, other := ask(s, Default, 10), ask(s, Downloads, 1)
		require.Equal(t, -1, granted(flood))
		require.Equal(t, -1, granted(other))
		s.release(2)
		require.Equal(t, 1, granted(other))
		require.Equal(t, -1, granted(flood))
		s.release(3)
		require.Equal(t, 1, granted(flood))
		s.close()
	})
}

func TestSlotsThatAFetchDidNotUseAreFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(3, []string{Default, RAGGit}, nil, time.Now)
		n, _ := s.reserve(Default, 3)
		require.Equal(t, 3, n)
		other := ask(s, RAGGit, 3)
		require.Equal(t, -1, granted(other))
		s.settle(Default, 3, []int64{7})
		require.Equal(t, 1, granted(other), "its ceiling")
		require.Equal(t, 1, s.busy())
		s.settle(RAGGit, 1, nil)
		s.release(7)
		s.release(7) // a second time does nothing
		n, _ = s.reserve(Default, 9)
		require.Equal(t, 3, n)
	})
}

// TestWeightsShareTheSlots has two queues that always have jobs, as long as each
// other's, over one slot, which passes from one to the other, and over eight.
func TestWeightsShareTheSlots(t *testing.T) {
	t.Parallel()
	for _, total := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			s := newSlots(total, []string{Default, "other"}, map[string]int{Default: 3}, time.Now)
			s.shares["other"].ceiling, s.shares["other"].patient = total, false
			var began [2]atomic.Int64
			var ids atomic.Int64
			stop := make(chan struct{})
			for i, q := range []string{Default, "other"} {
				go func() {
					for {
						n, _ := s.reserve(q, 1)
						if n == 0 {
							return
						}
						id := ids.Add(1)
						s.settle(q, 1, []int64{id})
						began[i].Add(1)
						go func() {
							select {
							case <-time.After(time.Duration(500+id*7919%1000) * time.Millisecond): // no two end together
							case <-stop:
							}
							s.release(id)
						}()
					}
				}()
			}
			time.Sleep(400*time.Second + time.Millisecond) //nolint:forbidigo // of the bubble's clock
			close(stop)
			s.close()
			ratio := float64(began[0].Load()) / float64(began[1].Load())
			require.InDelta(t, 3, ratio, 0.6, "of %d slots", total)
			require.InDelta(t, 400*total, began[0].Load()+began[1].Load(), float64(12*total), "all slots were busy")
		})
	}
}

func TestLongWorkLeavesSlotsToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(4, Names(), nil, time.Now)
		n, _ := s.reserve(Downloads, 100)
		require.Equal(t, 2, n, "half of them for one kind of long work")
		n, _ = s.reserve(RAGIndex, 100)
		require.Equal(t, 1, n, "one is left in any case")
		waiting := ask(s, RAGGit, 1)
		require.Equal(t, -1, granted(waiting))
		n, _ = s.reserve(Default, 100)
		require.Equal(t, 1, n)
		s.close()
		require.Equal(t, 0, granted(waiting))
	})
	s := newSlots(4, []string{Downloads}, nil, time.Now)
	n, _ := s.reserve(Downloads, 100)
	require.Equal(t, 4, n, "a worker for downloads alone")
	s = newSlots(1, Names(), nil, time.Now)
	n, _ = s.reserve(Downloads, 1)
	require.Equal(t, 1, n, "a single slot is for everybody")
}

func TestQueueThatWasIdleSavedUpNoClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, []string{Default, Downloads}, nil, time.Now)
		for id := range int64(100) {
			n, _ := s.reserve(Default, 1)
			s.settle(Default, n, []int64{id})
			s.release(id)
		}
		n, _ := s.reserve(Default, 1)
		s.settle(Default, n, []int64{1000})
		var order []string
		names := map[string]<-chan int{Default: ask(s, Default, 1), Downloads: ask(s, Downloads, 1)}
		synctest.Wait()
		s.release(1000)
		for id := range int64(6) {
			synctest.Wait()
			for q, got := range names {
				if granted(got) == 1 {
					order = append(order, q)
					s.settle(q, 1, []int64{id})
					names[q] = ask(s, q, 1)
					synctest.Wait()
					break
				}
			}
			s.release(id)
		}
		s.close()
		require.Len(t, order, 6)
		for i := range 5 {
			require.NotEqual(t, order[i], order[i+1], "they take turns at once: %v", order)
		}
	})
}

func TestContentionIsSeenAfterAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1, []string{Default, Downloads}, nil, time.Now)
		n, _ := s.reserve(Default, 1)
		s.settle(Default, n, []int64{1})
		ask(s, Downloads, 1)
		mine := ask(s, Default, 1)
		synctest.Wait()
		require.False(t, s.contended(Default))
		time.Sleep(2 * contendedAfter) //nolint:forbidigo // of the bubble's clock
		require.True(t, s.contended(Default))
		s.close()
		require.Equal(t, 0, granted(mine))
		require.False(t, s.contended(Default))
	})
}
