package event

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Snapshot is a Postgres pg_snapshot: which transactions had ended at a moment.
// It is the opaque position of contracts §4. The zero value shows nothing.
type Snapshot struct {
	xmin, xmax uint64
	running    []uint64 // sorted; in [xmin, xmax) but not yet ended
}

// ParseSnapshot reads the text form "xmin:xmax:xip,xip,...".
func ParseSnapshot(s string) (Snapshot, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 || len(s) > 1<<16 {
		return Snapshot{}, fmt.Errorf("position %.40q is not of the form that rt.subscribe gave", s)
	}
	var snap Snapshot
	var err error
	if snap.xmin, err = parseXID(parts[0]); err != nil {
		return Snapshot{}, err
	}
	if snap.xmax, err = parseXID(parts[1]); err != nil {
		return Snapshot{}, err
	}
	if parts[2] != "" {
		for one := range strings.SplitSeq(parts[2], ",") {
			x, err := parseXID(one)
			if err != nil {
				return Snapshot{}, err
			}
			snap.running = append(snap.running, x)
		}
	}
	if snap.xmin > snap.xmax || !slices.IsSorted(snap.running) {
		return Snapshot{}, fmt.Errorf("position %.40q is not in order", s)
	}
	return snap, nil
}

// String gives the text form.
func (s Snapshot) String() string {
	running := make([]string, len(s.running))
	for i, x := range s.running {
		running[i] = strconv.FormatUint(x, 10)
	}
	return fmt.Sprintf("%d:%d:%s", s.xmin, s.xmax, strings.Join(running, ","))
}

// IsZero reports whether s is the zero value.
func (s Snapshot) IsZero() bool { return s.xmax == 0 }

// Xmin is the oldest transaction that was still running; whatever is below had
// ended.
func (s Snapshot) Xmin() uint64 { return s.xmin }

// Shows reports whether a committed transaction was visible in s.
func (s Snapshot) Shows(xid uint64) bool {
	if xid < s.xmin {
		return true
	}
	if xid >= s.xmax {
		return false
	}
	_, running := slices.BinarySearch(s.running, xid)
	return !running
}
