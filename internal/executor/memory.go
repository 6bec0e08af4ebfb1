package executor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// CodeOutOfMemory is an attempt of which the kernel ended something for want of memory.
const CodeOutOfMemory = "out_of_memory"

// OutOfMemory is the end of an attempt that needed more memory than it had; limit is
// in bytes, 0 for all of its machine. It is not retryable: another attempt would need
// as much.
func OutOfMemory(limit int64) Result {
	what := "the memory of its machine"
	if limit > 0 {
		what = "its limit of " + memoryText(limit)
	}
	return Failuref(CodeOutOfMemory, false,
		"The node needed more memory than %s and was ended (OOMKilled). Raise resources.memory of the node, or the default in the settings.", what)
}

func memoryText(bytes int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if bytes >= u.size && bytes%u.size == 0 {
			return fmt.Sprintf("%d %s", bytes/u.size, u.name)
		}
	}
	if bytes >= 1<<20 {
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", bytes)
}

// CgroupRoot is where a container finds its own control group.
const CgroupRoot = "/sys/fs/cgroup"

// WatchMemory lets a failure say that it was for want of memory: the kernel ends the
// largest process of a container, and that is rarely the executor itself, but what the
// node started.
func WatchMemory(cgroup string, next Runner) Runner {
	return func(ctx context.Context, p Payload, sink Sink) Result {
		before, _ := memoryKills(cgroup)
		res := next(ctx, p, sink)
		after, limit := memoryKills(cgroup)
		if res.Status != Failed || after <= before {
			return res
		}
		out := OutOfMemory(limit)
		if res.Error != nil {
			out = out.WithDetails(map[string]any{"failure": res.Error})
		}
		out.OutputState, out.Usage, out.Artifacts = res.OutputState, res.Usage, res.Artifacts
		return out
	}
}

// memoryKills counts what the kernel ended in a control group, of either version, and
// gives the group's limit; 0 where there is nothing to read.
func memoryKills(cgroup string) (kills, limit int64) {
	for _, v := range []struct{ events, limit string }{
		{"memory.events", "memory.max"}, {"memory/memory.oom_control", "memory/memory.limit_in_bytes"},
	} {
		raw, err := os.ReadFile(filepath.Join(cgroup, v.events))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
				kills, _ = strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			}
		}
		if raw, err = os.ReadFile(filepath.Join(cgroup, v.limit)); err == nil {
			limit, _ = strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64) // max: 0
		}
		if limit > 1<<50 { // version 1's word for none
			limit = 0
		}
		return kills, limit
	}
	return 0, 0
}
