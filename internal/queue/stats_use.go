package queue

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Use is what a worker process takes of its machine.
type Use struct {
	RSSBytes   int64   // memory that is really there; 0: not known
	CPUCores   float64 // on average since the sample before
	Goroutines int
}

// sampler measures this process. It is used by the beat alone.
type sampler struct {
	now  func() time.Time
	at   time.Time
	busy time.Duration
}

// sample measures since the last sample; the first one knows no CPU.
func (s *sampler) sample() Use {
	now, busy := s.now(), cpuTime()
	u := Use{RSSBytes: residentBytes(), Goroutines: runtime.NumGoroutine()}
	if past := now.Sub(s.at); !s.at.IsZero() && past > 0 {
		u.CPUCores = float64(busy-s.busy) / float64(past)
	}
	s.at, s.busy = now, busy
	return u
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// residentBytes is the second figure of Linux' statm; elsewhere it is not known.
func residentBytes() int64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(raw)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
