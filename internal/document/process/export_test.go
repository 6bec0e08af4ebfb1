package process

import "io"

// Pids are the processes that wait to be asked.
func (p *Parser) Pids() (out []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		out = append(out, c.cmd.Process.Pid)
	}
	return out
}

// ServeWatched is Serve where the kernel does not count.
func ServeWatched(r io.Reader, memory int64) error {
	return serve(r, memory, func(int64) bool { return false })
}

// Encode, Decode, BoundMemory and the rest are looked at by themselves.
var (
	Encode      = encode
	Decode      = decode
	BoundMemory = boundMemory
	WriteFrame  = writeFrame
	ReadFrame   = readFrame
)
