package socketio

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// flushChunk is how many sessions a flusher takes at a time.
	flushChunk = 32
	// flushLine is how long the line of sessions must be for one more flusher.
	flushLine = 128
	// flushFrames bounds the frames of one write; the system takes no more than 1024.
	flushFrames = 256
)

// flushers write what sessions have queued. A few goroutines serve all sessions and go when there is nothing to do. They
// never wait for a peer: what one does not take at once is left to a goroutine of its own. While they are at work events
// bunch up in the queues, so that under load one write carries many.
type flushers struct {
	srv     *Server
	mu      sync.Mutex
	line    []*conn
	working int
}

// add puts a session in line. It is not in line yet, and has something to write.
func (f *flushers) add(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.line = append(f.line, c)
	if f.working == 0 || (len(f.line) >= flushLine*f.working && f.working < runtime.GOMAXPROCS(0)) {
		f.working++
		f.srv.workers.run(f.work)
	}
}

// take moves sessions out of the line, or notes that a flusher has ended.
func (f *flushers) take(into []*conn) []*conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := copy(into, f.line)
	if n == 0 {
		f.working--
		f.line = nil
		return nil
	}
	clear(f.line[:n])
	f.line = f.line[n:]
	return into[:n]
}

func (f *flushers) work() {
	var chunk [flushChunk]*conn
	w := &vectored{}
	w.call = w.attempt
	for {
		conns := f.take(chunk[:])
		if conns == nil {
			return
		}
		for i, c := range conns {
			if c.flush(w) {
				f.add(c)
			}
			conns[i] = nil
		}
	}
}

// vectored is one write of several frames, as much as the socket takes at once.
type vectored struct {
	call    func(fd uintptr) bool // attempt, made once
	frames  []frame
	buffers [][]byte
	n       int
	err     error
}

func (v *vectored) attempt(fd uintptr) bool {
	v.n, v.err = writeNow(fd, v.buffers)
	return true // never wait
}

// flush writes what is queued; true: there is more by now.
func (c *conn) flush(v *vectored) bool {
	v.frames = c.takeInto(v.frames[:0])
	if len(v.frames) == 0 {
		return c.flushed(nil, nil)
	}
	v.buffers = v.buffers[:0]
	for i := range v.frames {
		v.buffers = append(v.buffers, v.frames[i].data)
	}
	v.n, v.err = 0, nil
	err := c.link.raw.Write(v.call)
	if err == nil {
		err = v.err
	}
	c.link.wrote(v.n)
	c.srv.stats.wrote(len(v.frames))
	count(&c.srv.stats.bytesOut, v.n)
	if size := frameBytes(v.frames); err == nil && v.n < size {
		rest := cutFrames(v.frames, v.n)
		whole := slices.Clone(v.frames)
		c.srv.group.Go(func() { c.writeRest(rest, whole) })
		clear(v.frames)
		return false
	}
	more := c.flushed(v.frames, err)
	clear(v.frames)
	clear(v.buffers)
	return more
}

// cutFrames returns the bytes of frames without the first n.
func cutFrames(frames []frame, n int) []frame {
	for i, f := range frames {
		if n < len(f.data) {
			rest := slices.Clone(frames[i:])
			rest[0] = frame{data: f.data[n:]}
			return rest
		}
		n -= len(f.data)
	}
	return nil
}

// takeInto moves frames from the queue to batch.
func (c *conn) takeInto(batch []frame) []frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, total := 0, 0
	for n < len(c.queue) && n < flushFrames {
		total += len(c.queue[n].data)
		if n > 0 && total > writeBatch {
			break
		}
		n++
	}
	batch = append(batch, c.queue[:n]...)
	clear(c.queue[:n]) // the array must not keep messages alive
	if n == len(c.queue) && cap(c.queue) <= keptQueue {
		c.queue = c.queue[:0]
	} else if c.queue = c.queue[n:]; len(c.queue) == 0 {
		c.queue = nil
	}
	return batch
}

// keptQueue is how many places an empty queue may keep.
const keptQueue = 4

// flushed notes that a batch was written, and with an error that the connection is broken; true: there is more.
func (c *conn) flushed(batch []frame, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseLocked(batch)
	if err != nil {
		c.brokenLocked()
	}
	if len(c.queue) > 0 {
		return true
	}
	c.idleLocked()
	return false
}

// writeRest waits until the peer takes the rest of a batch, and then works off the queue.
func (c *conn) writeRest(rest, whole []frame) {
	c.wrote(whole, c.link.write(rest, c.srv.opts.WriteTimeout))
	c.writeLoop()
}

// idleLocked notes that nothing is being written any more.
func (c *conn) idleLocked() {
	c.writing = false
	if c.phase != phaseClosing {
		return
	}
	// The close frame is out, and nothing follows it; the peer answers it or is cut off.
	_ = c.link.conn.SetReadDeadline(time.Now().Add(closeWait))
	if half, ok := c.link.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	c.settleLocked()
}

func (c *conn) brokenLocked() {
	c.shutLocked(ReasonTransportError, endAbort)
	c.dropQueueLocked()
	_ = c.link.conn.Close()
}
