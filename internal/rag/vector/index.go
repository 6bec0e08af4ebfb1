package vector

import (
	"container/heap"
	"context"
	"runtime"
	"slices"
	"sync"
)

// index holds the vectors of one revision of a source, one byte a dimension. It is never changed once built.
type index struct {
	dimensions int
	ids        []int64   // of the chunks, ascending
	files      []int32   // of each chunk, the place of its file in fileIDs
	fileIDs    []int64   // ascending
	codes      []int8    // dimensions for each chunk
	worth      []float32 // of a step of a chunk's codes
}

// bytesPerChunk is what a chunk costs in memory.
func bytesPerChunk(dimensions int) int64 { return int64(dimensions) + 8 + 4 + 4 }

func (x *index) bytes() int64 {
	return int64(len(x.ids))*bytesPerChunk(x.dimensions) + 8*int64(len(x.fileIDs))
}

// bytesOf is what an index of chunks of these files will take.
func bytesOf(fileOf []int64, dimensions int) int64 {
	files := map[int64]struct{}{}
	for _, id := range fileOf {
		files[id] = struct{}{}
	}
	return int64(len(fileOf))*bytesPerChunk(dimensions) + 8*int64(len(files))
}

func newIndex(dimensions int, ids, fileOf []int64) *index {
	x := &index{dimensions: dimensions, ids: ids, files: make([]int32, len(ids)), worth: make([]float32, len(ids)), codes: make([]int8, len(ids)*dimensions)}
	x.fileIDs = slices.Clone(fileOf)
	slices.Sort(x.fileIDs)
	x.fileIDs = slices.Clip(slices.Clone(slices.Compact(x.fileIDs)))
	for i, id := range fileOf {
		at, _ := slices.BinarySearch(x.fileIDs, id)
		x.files[i] = int32(at)
	}
	return x
}

func (x *index) row(i int) []int8 {
	return x.codes[i*x.dimensions : (i+1)*x.dimensions : (i+1)*x.dimensions]
}

// set stores the vector of the chunk at place i.
func (x *index) set(i int, v []float32) { x.worth[i] = quantise(v, x.row(i)) }

// takeFrom copies what old has of the same chunks and gives the ids that it lacks. A chunk's text, and so its
// vector, never changes.
func (x *index) takeFrom(old *index) (missing []int64) {
	if old == nil || old.dimensions != x.dimensions {
		return x.ids
	}
	j := 0
	for i, id := range x.ids {
		for j < len(old.ids) && old.ids[j] < id {
			j++
		}
		if j == len(old.ids) || old.ids[j] != id {
			missing = append(missing, id)
			continue
		}
		copy(x.row(i), old.row(j))
		x.worth[i] = old.worth[j]
	}
	return missing
}

// allowed marks the files that may be found; nil means all.
func (x *index) allowed(files []int64) []bool {
	out := make([]bool, len(x.fileIDs))
	for _, id := range files {
		if at, found := slices.BinarySearch(x.fileIDs, id); found {
			out[at] = true
		}
	}
	return out
}

// block is how many chunks are compared between two looks at the context.
const block = 2048

// scan gives the k nearest by the codes. The work is spread over the processors.
func (x *index) scan(ctx context.Context, question []int8, k int, allowed []bool) []Hit {
	workers := max(1, min(runtime.GOMAXPROCS(0), len(x.ids)/block))
	tops := make([]top, workers)
	var wg sync.WaitGroup
	for w := range workers {
		tops[w].k = k
		from, to := w*len(x.ids)/workers, (w+1)*len(x.ids)/workers
		wg.Go(func() { x.scanPart(ctx, question, allowed, from, to, &tops[w]) })
	}
	wg.Wait()
	var all []Hit
	for _, t := range tops {
		all = append(all, t.hits...)
	}
	return best(all, k)
}

func (x *index) scanPart(ctx context.Context, question []int8, allowed []bool, from, to int, t *top) {
	for i := from; i < to; i++ {
		if (i-from)%block == 0 && ctx.Err() != nil {
			return
		}
		if allowed != nil && !allowed[x.files[i]] {
			continue
		}
		t.offer(Hit{ChunkID: x.ids[i], Score: float32(dot(x.row(i), question)) * x.worth[i]})
	}
}

// top keeps the k nearest of what it is offered: a heap whose root is the farthest of them.
type top struct {
	k    int
	hits []Hit
}

func (t *top) offer(h Hit) {
	if len(t.hits) < t.k {
		heap.Push(t, h)
		return
	}
	if t.k > 0 && nearer(h, t.hits[0]) {
		t.hits[0] = h
		heap.Fix(t, 0)
	}
}

// Len, Less, Swap, Push and Pop are those of heap.Interface.
func (t *top) Len() int           { return len(t.hits) }
func (t *top) Less(i, j int) bool { return nearer(t.hits[j], t.hits[i]) }
func (t *top) Swap(i, j int)      { t.hits[i], t.hits[j] = t.hits[j], t.hits[i] }

// Push appends a Hit.
func (t *top) Push(h any) {
	if hit, ok := h.(Hit); ok {
		t.hits = append(t.hits, hit)
	}
}

// Pop takes the last one.
func (t *top) Pop() any {
	last := t.hits[len(t.hits)-1]
	t.hits = t.hits[:len(t.hits)-1]
	return last
}
