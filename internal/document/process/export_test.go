package process

// Pids are the processes that wait to be asked.
func (p *Parser) Pids() (out []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		out = append(out, c.cmd.Process.Pid)
	}
	return out
}

// Encode, Decode, BoundMemory and the rest are looked at by themselves.
var (
	Encode      = encode
	Decode      = decode
	BoundMemory = boundMemory
	WriteFrame  = writeFrame
	ReadFrame   = readFrame
)
