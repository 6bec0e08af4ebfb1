package control

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Render writes the data of an answer for people. What it has no table for is
// written as JSON, so that answers of a newer server, or of Gunicorn, are not lost.
func Render(w io.Writer, words []string, data json.RawMessage) error {
	draw := renderers()[strings.ToLower(strings.Join(words[:min(2, len(words))], " "))]
	if draw == nil && len(words) > 0 {
		draw = renderers()[strings.ToLower(words[0])]
	}
	switch {
	case strings.EqualFold(strings.Join(words, " "), "show config"):
		return renderConfig(w, data)
	case draw == nil:
		return RenderJSON(w, data)
	}
	var a answerData
	if json.Unmarshal(data, &a) != nil {
		return RenderJSON(w, data)
	}
	p := &page{table: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	draw(p, &a)
	if err := p.table.Flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// RenderJSON writes the data itself, indented.
func RenderJSON(w io.Writer, data json.RawMessage) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(data); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// answerData are the members of all answers. Members that a server leaves out,
// as Gunicorn does with ours, are nil and shown as a dash.
type answerData struct {
	Arbiter    *process          `json:"arbiter"`
	WebWorkers []rowData         `json:"web_workers"`
	Workers    []rowData         `json:"workers"`
	State      string            `json:"state"`
	Listeners  []listenerView    `json:"listeners"`
	Commands   map[string]string `json:"commands"`
	Enabled    bool              `json:"enabled"`

	Uptime         *float64 `json:"uptime"`
	PID            *int64   `json:"pid"`
	WorkersCurrent *int64   `json:"workers_current"`
	WorkersTarget  *int64   `json:"workers_target"`
	WorkersSpawned *int64   `json:"workers_spawned"`
	WorkersKilled  *int64   `json:"workers_killed"`
	Reloads        *int64   `json:"reloads"`
	Requests       *int64   `json:"requests"`
	Active         *int64   `json:"active"`
	Connections    *int64   `json:"connections"`

	Previous json.RawMessage `json:"previous"`
	Total    json.RawMessage `json:"total"` // a number, or numbers by name
	Killed   int             `json:"killed"`
	Mode     string          `json:"mode"`
}

// rowData is one worker in any of the lists.
type rowData struct {
	PID           int      `json:"pid"`
	Age           int      `json:"age"`
	Booted        bool     `json:"booted"`
	Aborted       bool     `json:"aborted"`
	Retiring      bool     `json:"retiring"`
	LastHeartbeat *float64 `json:"last_heartbeat"`
	Uptime        *float64 `json:"uptime"`
	Memory        *int64   `json:"memory"`
	Requests      *int64   `json:"requests"`
	Active        *int64   `json:"active"`
	Connections   *int64   `json:"connections"`
	Open          *int64   `json:"open"`
	Idle          *int64   `json:"idle"`
	Waiting       *int64   `json:"waiting"`
	WebSocket     *int64   `json:"websocket"`
	Polling       *int64   `json:"polling"`
	Ready         bool     `json:"ready"`
	Reason        string   `json:"reason"`
	Bus           string   `json:"bus"`
	Rooms         *int64   `json:"rooms"`
	Streams       *int64   `json:"streams"`
	Delivered     *int64   `json:"delivered"`
	Replayed      *int64   `json:"replayed"`
	FromLog       *int64   `json:"from_log"`
	SlowCloses    *int64   `json:"slow_closes"`
	LastSweep     *float64 `json:"last_sweep"`
	Error         string   `json:"error"`
}

// page is a table in the making.
type page struct{ table *tabwriter.Writer }

func (p *page) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = cell(c)
	}
	p.line(strings.Join(texts, "\t"))
}

// line writes text that is no row of the table around it.
func (p *page) line(text string) { _, _ = fmt.Fprintln(p.table, text) } // Flush tells of errors

func cell(v any) string {
	switch v := v.(type) {
	case *int64:
		if v == nil {
			return "-"
		}
		return strconv.FormatInt(*v, 10)
	case string:
		if v == "" {
			return "-"
		}
		return v
	default:
		return fmt.Sprint(v)
	}
}

func ago(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	return fmt.Sprintf("%.1fs ago", *seconds)
}

// lasting writes a time as its two greatest units.
func lasting(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	d := time.Duration(*seconds * float64(time.Second)).Truncate(time.Second)
	days, rest := d/(24*time.Hour), d%(24*time.Hour)
	switch {
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, rest/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	default:
		return fmt.Sprintf("%ds", d/time.Second)
	}
}

func memory(bytes *int64) string {
	if bytes == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f MiB", float64(*bytes)/(1<<20))
}

func (r *rowData) state() string {
	switch {
	case r.Aborted:
		return "aborted"
	case r.Retiring:
		return "retiring"
	case r.Booted:
		return "serving"
	default:
		return "starting"
	}
}

func (p *page) workers(rows []rowData) {
	if len(rows) == 0 {
		p.line("no workers")
		return
	}
	p.row("PID", "AGE", "STATE", "UPTIME", "REQUESTS", "ACTIVE", "CONNECTIONS", "MEMORY", "LAST BEAT")
	for _, r := range rows {
		p.row(r.PID, r.Age, r.state(), lasting(r.Uptime), r.Requests, r.Active, r.Connections, memory(r.Memory), ago(r.LastHeartbeat))
	}
}

func renderers() map[string]func(*page, *answerData) {
	return map[string]func(*page, *answerData){
		"show all":         renderAll,
		"show workers":     func(p *page, a *answerData) { p.workers(a.Workers) },
		"show dirty":       renderDirty,
		"show stats":       renderStats,
		"show listeners":   renderListeners,
		"show connections": renderConnections,
		"show streams":     renderStreams,
		"worker add":       renderResize,
		"worker remove":    renderResize,
		"worker kill":      renderKill,
		"reload": func(p *page, _ *answerData) {
			p.line("Reloading: new workers start, the present ones finish their work.")
		},
		"reopen": func(p *page, _ *answerData) { p.line("The log files are being reopened.") },
		"drain": func(p *page, _ *answerData) {
			p.line("Draining: nothing more is accepted; the server stops when all work has ended.")
		},
		"shutdown": func(p *page, a *answerData) { p.line("Shutting down (" + a.Mode + ").") },
		"help":     renderHelp,
	}
}

func renderAll(p *page, a *answerData) {
	line := "Arbiter"
	if a.Arbiter != nil {
		line += fmt.Sprintf(" %d", a.Arbiter.PID)
	}
	if a.State != "" {
		line += ", " + a.State
	}
	p.line(fmt.Sprintf("%s, %d workers\n", line, len(a.WebWorkers)))
	p.workers(a.WebWorkers)
}

func renderDirty(p *page, a *answerData) {
	if !a.Enabled {
		p.line("There are no dirty workers here; work that takes long runs in llmctl worker.")
		return
	}
	p.workers(a.Workers)
}

func renderStats(p *page, a *answerData) {
	p.row("State", a.State)
	p.row("Uptime", lasting(a.Uptime))
	p.row("PID", a.PID)
	p.row("Workers", cell(a.WorkersCurrent)+" of "+cell(a.WorkersTarget))
	p.row("Spawned", a.WorkersSpawned)
	p.row("Killed", a.WorkersKilled)
	p.row("Reloads", a.Reloads)
	p.row("Requests", a.Requests)
	p.row("Active", a.Active)
	p.row("Connections", a.Connections)
}

func renderListeners(p *page, a *answerData) {
	if len(a.Listeners) == 0 {
		p.line("no listeners")
		return
	}
	p.row("ADDRESS", "TYPE", "FD")
	for _, l := range a.Listeners {
		p.row(l.Address, l.Type, l.FD)
	}
}

func renderConnections(p *page, a *answerData) {
	if len(a.Workers) == 0 {
		p.line("no workers")
		return
	}
	p.row("PID", "AGE", "OPEN", "ACTIVE", "IDLE", "WAITING", "WEBSOCKET", "POLLING")
	for _, r := range a.Workers {
		if r.Error != "" {
			p.row(r.PID, r.Age, "", "", "", "", "", "")
			continue
		}
		p.row(r.PID, r.Age, r.Open, r.Active, r.Idle, r.Waiting, r.WebSocket, r.Polling)
	}
	var t connectionsTotal
	if json.Unmarshal(a.Total, &t) == nil && len(a.Workers) > 1 {
		p.row("total", " ", t.Open, t.Active, t.Idle, t.Waiting, t.WebSocket, t.Polling)
	}
	p.mute(a.Workers)
}

// mute lists the workers that gave no answer.
func (p *page) mute(rows []rowData) {
	for _, r := range rows {
		if r.Error != "" {
			p.line(fmt.Sprintf("worker %d: %s", r.PID, r.Error))
		}
	}
}

func renderStreams(p *page, a *answerData) {
	if len(a.Workers) == 0 {
		p.line("no workers")
		return
	}
	p.row("PID", "AGE", "STATE", "BUS", "CONNECTIONS", "ROOMS", "STREAMS", "DELIVERED", "REPLAYED", "FROM LOG", "SLOW CLOSES", "LAST SWEEP")
	for _, r := range a.Workers {
		if r.Error != "" {
			p.row(r.PID, r.Age, "", "", "", "", "", "", "", "", "", "")
			continue
		}
		state := "ready"
		if !r.Ready {
			state = "not ready: " + r.Reason
		}
		p.row(r.PID, r.Age, state, r.Bus, r.Connections, r.Rooms, r.Streams, r.Delivered, r.Replayed, r.FromLog, r.SlowCloses, ago(r.LastSweep))
	}
	p.mute(a.Workers)
}

func renderResize(p *page, a *answerData) {
	p.line(fmt.Sprintf("Workers: %s before, %s from now on.", a.Previous, a.Total))
}

func renderKill(p *page, a *answerData) {
	p.line(fmt.Sprintf("Worker %d finishes its work and ends; another one takes its place.", a.Killed))
}

func renderHelp(p *page, a *answerData) {
	for _, name := range slices.Sorted(maps.Keys(a.Commands)) {
		p.row(name, a.Commands[name])
	}
}

// renderConfig writes "show config" as a table: its members are not fixed.
func renderConfig(w io.Writer, data json.RawMessage) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return RenderJSON(w, data)
	}
	p := &page{table: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		p.row(name, plain(members[name]))
	}
	if err := p.table.Flush(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// plain writes a JSON value without quotes and brackets.
func plain(raw json.RawMessage) string {
	var list []json.RawMessage
	var text string
	switch {
	case string(raw) == "null":
		return "-"
	case json.Unmarshal(raw, &text) == nil:
		return text
	case json.Unmarshal(raw, &list) == nil:
		items := make([]string, len(list))
		for i, item := range list {
			items[i] = plain(item)
		}
		return strings.Join(items, ", ")
	default:
		return string(raw)
	}
}
