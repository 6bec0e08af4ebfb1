package socketio

import "time"

// rateWindow is what packets are counted over, so that a client may send a lot for a moment.
const rateWindow = 10 * time.Second

// rate counts what a peer sends.
type rate struct {
	from  time.Time
	count int
}

// take counts a packet; false: there were more than perSecond allows.
func (r *rate) take(perSecond int) bool {
	if now := time.Now(); now.Sub(r.from) >= rateWindow {
		r.from, r.count = now, 0
	}
	r.count++
	return r.count <= perSecond*int(rateWindow/time.Second)
}
