package flowchart

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Ranges of the members that every kind may have.
const (
	MaxAttempts       = 20
	MaxBackoffSeconds = 3600
	MaxTimeoutSeconds = 86400
)

// Common holds the config members of every kind.
type Common struct {
	Retry          Retry
	TimeoutSeconds float64 // 0: the caller's default
	FanIn          FanIn
	Pod            Pod
}

// Timeout gives TimeoutSeconds as a duration, 0 for the caller's default.
func (c Common) Timeout() time.Duration { return seconds(c.TimeoutSeconds) }

// Retry says how often a failing node is tried.
type Retry struct {
	MaxAttempts    int // the first attempt included; at least 1
	BackoffSeconds float64
}

// Backoff gives the time to wait between attempts.
func (r Retry) Backoff() time.Duration { return seconds(r.BackoffSeconds) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// FanIn says how many parents a join waits for. The zero value means all.
type FanIn struct {
	count int // 0: all; any is 1
}

// FanInAny fires on the first token; FanInOf on the k-th.
func FanInAny() FanIn { return FanIn{count: 1} }

// FanInOf waits for k parents; k below 1 means all.
func FanInOf(k int) FanIn { return FanIn{count: max(k, 0)} }

// Count gives k, or 0 for all parents.
func (f FanIn) Count() int { return f.count }

// Need gives the number of tokens that make a node with that many forward
// in-edges fire.
func (f FanIn) Need(parents int) int {
	if f.count == 0 {
		return parents
	}
	return min(f.count, parents)
}

// MarshalJSON writes "all", "any" or a number.
func (f FanIn) MarshalJSON() ([]byte, error) {
	switch f.count {
	case 0:
		return []byte(`"all"`), nil
	case 1:
		return []byte(`"any"`), nil
	default:
		return json.Marshal(f.count)
	}
}

// UnmarshalJSON reads "all", "any" or a whole number from 1.
func (f *FanIn) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case `"all"`:
		*f = FanIn{}
		return nil
	case `"any"`:
		*f = FanInAny()
		return nil
	}
	var k int
	if err := json.Unmarshal(data, &k); err != nil || k < 1 {
		return fmt.Errorf("fan_in is %s, want all, any or a number from 1", data)
	}
	*f = FanInOf(k)
	return nil
}

// commonFields reads the common members into c.
func commonFields(c *Common) map[string]field {
	c.Retry.MaxAttempts = 1
	fields := podFields(&c.Pod)
	maps.Copy(fields, map[string]field{
		"timeout_seconds": {read: func(raw json.RawMessage, at string, f *faults) {
			if value(raw, at, &c.TimeoutSeconds, f) {
				within(c.TimeoutSeconds, 1, MaxTimeoutSeconds, at, f)
			}
		}},
		"fan_in": {read: func(raw json.RawMessage, at string, f *faults) {
			if c.FanIn.UnmarshalJSON(raw) != nil {
				f.add(at, `must be "all", "any" or a whole number from 1`)
			}
		}},
		"retry": {read: func(raw json.RawMessage, at string, f *faults) {
			members(raw, at, map[string]field{
				"max_attempts": {read: func(raw json.RawMessage, at string, f *faults) {
					if value(raw, at, &c.Retry.MaxAttempts, f) {
						within(float64(c.Retry.MaxAttempts), 1, MaxAttempts, at, f)
					}
				}},
				"backoff_seconds": {read: func(raw json.RawMessage, at string, f *faults) {
					if value(raw, at, &c.Retry.BackoffSeconds, f) {
						within(c.Retry.BackoffSeconds, 0, MaxBackoffSeconds, at, f)
					}
				}},
			}, f)
		}},
	})
	return fields
}

func within(v, low, high float64, at string, f *faults) {
	if v < low || v > high {
		f.add(at, "must lie between %g and %g", low, high)
	}
}

// DecodeCommon reads the common members of any kind's config and passes over
// the others. An empty config gives the defaults.
func DecodeCommon(config json.RawMessage) (Common, error) {
	var c Common
	var f faults
	fields := commonFields(&c)
	if isBlank(config) {
		return c, nil
	}
	m, ok := object(config, "config", &f)
	if !ok {
		return c, f.error(reasonConfig, "The node's configuration is faulty")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if raw := m[name]; !isBlank(raw) {
			fields[name].read(raw, "config."+name, &f)
		}
	}
	return c, f.error(reasonConfig, "The node's configuration is faulty")
}
