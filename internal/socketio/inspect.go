package socketio

// Queued returns what waits to be sent on the socket's session, in packets and bytes.
func (s *Socket) Queued() (frames, bytes int) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.conn.frames, s.conn.bytes
}
