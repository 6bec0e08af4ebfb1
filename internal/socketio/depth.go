package socketio

// depths is the number of buckets of [Depths].
const depths = 9

// Depths counts by numbers of packets; [DepthBounds] are the buckets' upper bounds, and the last bucket has none.
type Depths [depths]uint64

// DepthBounds returns the largest number of packets that counts in each bucket of a [Depths] but the last.
func DepthBounds() []int { return []int{0, 1, 2, 4, 16, 64, 256, 1024} }

func depthOf(n int) int {
	for i, bound := range DepthBounds() {
		if n <= bound {
			return i
		}
	}
	return depths - 1
}

// wrote counts one write of n packets.
func (c *counters) wrote(n int) {
	c.writes.Add(1)
	count(&c.packetsWritten, n)
	c.packetsPerWrite[depthOf(n)].Add(1)
}
