package control

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answers makes the data of each command's answer.
type answers struct {
	arbiter Arbiter
	now     func() time.Time
}

// seconds is a number of seconds, rounded to hundredths, that is always written
// with a fraction, as Python writes a float.
type seconds float64

// MarshalJSON writes the number.
func (s seconds) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(math.Round(float64(s)*100)/100, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return []byte(text), nil
}

// since is the time that has passed; nil when it never began.
func (a *answers) since(t time.Time) *seconds {
	if t.IsZero() {
		return nil
	}
	s := seconds(max(0, a.now().Sub(t).Seconds()))
	return &s
}

type workerView struct {
	PID           int      `json:"pid"`
	Type          string   `json:"type,omitempty"`
	Age           int      `json:"age"`
	Booted        bool     `json:"booted"`
	Aborted       bool     `json:"aborted"`
	LastHeartbeat *seconds `json:"last_heartbeat"`

	Retiring    bool     `json:"retiring"`
	Uptime      *seconds `json:"uptime"`
	Requests    int64    `json:"requests"`
	Active      int      `json:"active"`
	Connections int      `json:"connections"`
	Memory      *int64   `json:"memory"`
}

func (a *answers) workers(s Snapshot, kind string) []workerView {
	out := make([]workerView, 0, len(s.Workers))
	for _, w := range s.Workers {
		v := workerView{
			PID: w.PID, Type: kind, Age: w.Age, Booted: w.Booted, Aborted: w.Aborted, LastHeartbeat: a.since(w.LastBeat),
			Retiring: w.Retiring, Uptime: a.since(w.Started), Requests: w.Requests, Active: w.Active, Connections: w.Connections,
		}
		if w.Memory > 0 {
			v.Memory = &w.Memory
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b workerView) int { return cmp.Or(cmp.Compare(a.Age, b.Age), cmp.Compare(a.PID, b.PID)) })
	return out
}

func (a *answers) showWorkers(ctx context.Context, _ []string) (any, error) {
	s, err := a.arbiter.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return struct {
		Workers []workerView `json:"workers"`
		Count   int          `json:"count"`
	}{a.workers(s, ""), len(s.Workers)}, nil
}

type process struct {
	PID  int    `json:"pid"`
	Type string `json:"type"`
	Role string `json:"role"`
}

func (a *answers) showAll(ctx context.Context, _ []string) (any, error) {
	s, err := a.arbiter.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return struct {
		Arbiter          process      `json:"arbiter"`
		WebWorkers       []workerView `json:"web_workers"`
		WebWorkerCount   int          `json:"web_worker_count"`
		DirtyArbiter     *process     `json:"dirty_arbiter"`
		DirtyWorkers     []process    `json:"dirty_workers"`
		DirtyWorkerCount int          `json:"dirty_worker_count"`

		State State `json:"state"`
	}{
		Arbiter:    process{PID: s.PID, Type: "arbiter", Role: "master"},
		WebWorkers: a.workers(s, "web"), WebWorkerCount: len(s.Workers),
		DirtyWorkers: []process{}, State: s.State,
	}, nil
}

func (a *answers) showDirty(context.Context, []string) (any, error) {
	return struct {
		Enabled bool     `json:"enabled"`
		PID     *int     `json:"pid"`
		Workers []string `json:"workers"`
		Apps    []string `json:"apps"`
	}{Workers: []string{}, Apps: []string{}}, nil
}

func (a *answers) showStats(ctx context.Context, _ []string) (any, error) {
	s, err := a.arbiter.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	out := struct {
		Uptime         *seconds `json:"uptime"`
		PID            int      `json:"pid"`
		WorkersCurrent int      `json:"workers_current"`
		WorkersTarget  int      `json:"workers_target"`
		WorkersSpawned int64    `json:"workers_spawned"`
		WorkersKilled  int64    `json:"workers_killed"`
		Reloads        int64    `json:"reloads"`
		DirtyPID       *int     `json:"dirty_arbiter_pid"`

		State       State `json:"state"`
		Requests    int64 `json:"requests"` // of the workers that are there now
		Active      int   `json:"active"`
		Connections int   `json:"connections"`
	}{
		Uptime: a.since(s.Started), PID: s.PID, WorkersCurrent: len(s.Workers), WorkersTarget: s.Target,
		WorkersSpawned: s.Spawned, WorkersKilled: s.Killed, Reloads: s.Reloads, State: s.State,
	}
	for _, w := range s.Workers {
		out.Requests += w.Requests
		out.Active += w.Active
		out.Connections += w.Connections
	}
	return out, nil
}

type listenerView struct {
	Address string `json:"address"`
	FD      int    `json:"fd"`
	Type    string `json:"type"`
}

func (a *answers) showListeners(ctx context.Context, _ []string) (any, error) {
	s, err := a.arbiter.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]listenerView, 0, len(s.Listeners))
	for _, l := range s.Listeners {
		list = append(list, listenerView(l))
	}
	return struct {
		Listeners []listenerView `json:"listeners"`
		Count     int            `json:"count"`
	}{list, len(list)}, nil
}

func (a *answers) showConfig(ctx context.Context, _ []string) (any, error) {
	c, err := a.arbiter.Config(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]any, len(c.Extra)+20)
	maps.Copy(out, c.Extra)
	maps.Copy(out, map[string]any{
		"bind": append([]string{}, c.Bind...), "workers": c.Workers, "worker_class": c.WorkerClass, "threads": c.Threads,
		"timeout": whole(c.Timeout), "graceful_timeout": whole(c.GracefulTimeout), "keepalive": whole(c.Keepalive),
		"max_requests": c.MaxRequests, "max_requests_jitter": c.MaxRequestsJitter, "worker_connections": c.WorkerConnections,
		"pidfile": textOrNull(c.PIDFile), "proc_name": c.ProcName,
		"control_socket": c.ControlSocket, "control_socket_disable": c.ControlSocketDisable,
		// What these switch does not exist here; the values are those of a Gunicorn that has it off.
		"preload_app": false, "daemon": false, "reload": false, "dirty_workers": 0, "dirty_apps": []string{}, "dirty_timeout": 300,
	})
	return out, nil
}

// whole is an integer where Gunicorn has one.
func whole(d time.Duration) any {
	if d%time.Second == 0 {
		return int64(d / time.Second)
	}
	return d.Seconds()
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

type connectionsView struct {
	PID       int    `json:"pid"`
	Age       int    `json:"age"`
	Open      int    `json:"open"`
	Active    int    `json:"active"`
	Idle      int    `json:"idle"`
	Waiting   int    `json:"waiting"`
	WebSocket int    `json:"websocket"`
	Polling   int    `json:"polling"`
	Error     string `json:"error,omitempty"`
}

func (a *answers) showConnections(ctx context.Context, _ []string) (any, error) {
	list, err := a.arbiter.Connections(ctx)
	if err != nil {
		return nil, err
	}
	out := struct {
		Workers []connectionsView `json:"workers"`
		Count   int               `json:"count"`
		Total   connectionsTotal  `json:"total"`
	}{Workers: make([]connectionsView, 0, len(list)), Count: len(list)}
	for _, c := range list {
		out.Workers = append(out.Workers, connectionsView{
			PID: c.PID, Age: c.Age, Open: c.Open, Active: c.Active, Idle: c.Idle, Waiting: c.Waiting,
			WebSocket: c.WebSocket, Polling: c.Polling, Error: c.Error,
		})
		out.Total.add(c)
	}
	slices.SortFunc(out.Workers, func(a, b connectionsView) int { return cmp.Compare(a.Age, b.Age) })
	return out, nil
}

type connectionsTotal struct {
	Open      int `json:"open"`
	Active    int `json:"active"`
	Idle      int `json:"idle"`
	Waiting   int `json:"waiting"`
	WebSocket int `json:"websocket"`
	Polling   int `json:"polling"`
}

func (t *connectionsTotal) add(c Connections) {
	t.Open += c.Open
	t.Active += c.Active
	t.Idle += c.Idle
	t.Waiting += c.Waiting
	t.WebSocket += c.WebSocket
	t.Polling += c.Polling
}

type streamsView struct {
	PID         int      `json:"pid"`
	Age         int      `json:"age"`
	Ready       bool     `json:"ready"`
	Reason      string   `json:"reason,omitempty"`
	Bus         string   `json:"bus"`
	Connections int64    `json:"connections"`
	Rooms       int64    `json:"rooms"`
	Streams     int64    `json:"streams"`
	Delivered   int64    `json:"delivered"`
	Replayed    int64    `json:"replayed"`
	FromLog     int64    `json:"from_log"`
	SlowCloses  int64    `json:"slow_closes"`
	LastSweep   *seconds `json:"last_sweep"` // ago
	Error       string   `json:"error,omitempty"`
}

func (a *answers) showStreams(ctx context.Context, _ []string) (any, error) {
	list, err := a.arbiter.Streams(ctx)
	if err != nil {
		return nil, err
	}
	out := struct {
		Workers []streamsView `json:"workers"`
		Count   int           `json:"count"`
	}{make([]streamsView, 0, len(list)), len(list)}
	for _, s := range list {
		out.Workers = append(out.Workers, streamsView{
			PID: s.PID, Age: s.Age, Ready: s.Ready, Reason: s.Reason, Bus: s.Bus,
			Connections: s.Connections, Rooms: s.Rooms, Streams: s.Streams,
			Delivered: s.Delivered, Replayed: s.Replayed, FromLog: s.FromLog, SlowCloses: s.SlowCloses,
			LastSweep: a.since(s.LastSweep), Error: s.Error,
		})
	}
	slices.SortFunc(out.Workers, func(a, b streamsView) int { return cmp.Compare(a.Age, b.Age) })
	return out, nil
}

type added struct {
	Added    int `json:"added"`
	Previous int `json:"previous"`
	Total    int `json:"total"`
}

func (a *answers) workerAdd(ctx context.Context, args []string) (any, error) {
	n, err := count("worker add", args)
	if err != nil {
		return nil, err
	}
	previous, total, err := a.arbiter.Resize(ctx, n)
	return added{total - previous, previous, total}, err
}

type removed struct {
	Removed  int `json:"removed"`
	Previous int `json:"previous"`
	Total    int `json:"total"`
}

func (a *answers) workerRemove(ctx context.Context, args []string) (any, error) {
	n, err := count("worker remove", args)
	if err != nil {
		return nil, err
	}
	previous, total, err := a.arbiter.Resize(ctx, -n)
	return removed{previous - total, previous, total}, err
}

// result is Gunicorn's answer to what may fail without an error.
type result struct {
	Success bool   `json:"success"`
	Killed  int    `json:"killed,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (a *answers) workerKill(ctx context.Context, args []string) (any, error) {
	if len(args) == 0 {
		return nil, invalid("Missing PID for worker kill")
	}
	pid, err := strconv.Atoi(args[0])
	if err != nil || pid < 1 {
		return nil, invalid("worker kill takes the pid of a worker, as show workers lists them; got %s", show(args[0]))
	}
	err = a.arbiter.KillWorker(ctx, pid)
	if errors.Is(err, ErrNoWorker) {
		return result{Error: "Worker " + strconv.Itoa(pid) + " not found"}, nil
	}
	return result{Success: true, Killed: pid}, err
}

func (a *answers) dirty(_ context.Context, args []string) (any, error) {
	if _, err := count("dirty add|remove", args); err != nil {
		return nil, err
	}
	return result{Error: "Dirty arbiter not running"}, nil
}

type status struct {
	Status string `json:"status"`
	Mode   string `json:"mode,omitempty"`
}

func (a *answers) reload(ctx context.Context, _ []string) (any, error) {
	return status{Status: "reloading"}, a.arbiter.Reload(ctx)
}

func (a *answers) reopen(ctx context.Context, _ []string) (any, error) {
	return status{Status: "reopening"}, a.arbiter.Reopen(ctx)
}

func (a *answers) drain(ctx context.Context, _ []string) (any, error) {
	return status{Status: "draining"}, a.arbiter.Stop(ctx, StopDrain)
}

func (a *answers) shutdown(ctx context.Context, args []string) (any, error) {
	mode, name := StopGraceful, "graceful"
	if len(args) > 0 {
		name = strings.ToLower(args[0])
	}
	switch name {
	case "graceful":
	case "quick":
		mode = StopQuick
	default:
		return nil, invalid("shutdown takes graceful or quick; got %s", show(args[0]))
	}
	return status{Status: "shutting_down", Mode: name}, a.arbiter.Stop(ctx, mode)
}

func (a *answers) help(context.Context, []string) (any, error) {
	lines := map[string]string{}
	for _, c := range commands() {
		lines[strings.TrimSpace(c.name+" "+c.args)] = c.help
	}
	return struct {
		Commands map[string]string `json:"commands"`
	}{lines}, nil
}
