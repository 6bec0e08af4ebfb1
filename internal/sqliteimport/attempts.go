package sqliteimport

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// chunkBytes is how much of a log goes into one event.
const chunkBytes = 16 << 10

// ended is how and when an activity ended.
type ended struct {
	status            string
	fault             any
	created, finished time.Time
	started           *time.Time
}

// stageKeys lists the stages in order.
func stageKeys() []string {
	return []string{"integration", "pre_init", "init", "post_init", "llm_query", "post_run"}
}

func stageOrNil(task row) *string {
	if task == nil {
		return nil
	}
	key := task.trimmed("current_stage")
	if !slices.Contains(stageKeys(), key) {
		return nil
	}
	return &key
}

func (im *importer) writeAttempt(ctx context.Context, a *activity, e ended) error {
	logs := im.stageLogs(a)
	stages, err := encode(stagesOf(logs, stageOrNil(a.task), e))
	if err != nil {
		return fmt.Errorf("encode stages: %w", err)
	}
	status := e.status
	if status == skipped {
		status = cancelled // an attempt was made, whatever became of it
	}
	dispatch := a.task.trimmed("dispatch_status")
	if !slices.Contains([]string{"dispatch_pending", "dispatch_submitted", "dispatch_confirmed", "dispatch_failed"}, dispatch) {
		dispatch = "dispatch_pending"
	}
	var dispatchID *string
	if id := a.task.trimmed("provider_dispatch_id"); id != "" {
		dispatchID = &id
	}
	claimed := e.created
	if e.started != nil {
		claimed = *e.started
	}
	executor := cmp.Or(a.task.trimmed("final_provider"), a.task.trimmed("selected_provider"), "imported")
	err = im.out.add(ctx, "node_attempt", a.id, 1, workerID, status, executor, dispatchID, dispatch, a.task.boolean("dispatch_uncertain"),
		stages, e.fault, e.created, claimed, e.started, e.finished, e.finished)
	if err != nil {
		return err
	}
	return im.writeLogs(ctx, a, logs, e.finished)
}

// stageLogs reads the logs by stage.
func (im *importer) stageLogs(a *activity) map[string]string {
	text := rawText(a.task["stage_logs"])
	if strings.TrimSpace(text) == "" {
		return nil
	}
	out := map[string]string{}
	if v, err := document(text); err == nil {
		m, _ := v.(map[string]any)
		for key, item := range m {
			if s, ok := item.(string); ok && s != "" {
				out[short(key, 60)] = s
			} else if raw, err := encode(item); err == nil && !ok && item != nil {
				out[short(key, 60)] = string(raw)
			}
		}
		return out
	}
	im.rep.table(a.table).note("its stage_logs are no JSON and are kept as one log", a.sid)
	stage := "llm_query"
	if s := stageOrNil(a.task); s != nil {
		stage = *s
	}
	out[stage] = clean(text[:min(len(text), maxValueBytes)])
	return out
}

type stage struct {
	Key        string     `json:"key"`
	Status     string     `json:"status"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	LogLines   int        `json:"log_lines"`
}

// stagesOf gives the stages that an attempt came to: those before the current
// one went well, and the current one ended as the attempt did.
func stagesOf(logs map[string]string, current *string, e ended) []stage {
	last := -1
	for i, key := range stageKeys() {
		if _, logged := logs[key]; logged || (current != nil && *current == key) {
			last = i
		}
	}
	out := make([]stage, 0, last+1)
	for i, key := range stageKeys()[:last+1] {
		s := stage{Key: key, Status: succeeded, LogLines: lines(logs[key])}
		if i == last {
			s.FinishedAt = &e.finished
			switch e.status {
			case failed:
				s.Status = failed
			case cancelled, skipped:
				s.Status = skipped
			}
		}
		out = append(out, s)
	}
	return out
}

func lines(text string) int {
	if text == "" {
		return 0
	}
	return strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1
}

// logPayload is what an event of a node's log stream says.
type logPayload struct {
	TaskID  int64  `json:"task_id"`
	Attempt int    `json:"attempt"`
	Offset  int    `json:"offset"`
	Text    string `json:"text"`
	Stage   string `json:"stage"`
}

// writeLogs writes stage logs as the events that they would have been.
func (im *importer) writeLogs(ctx context.Context, a *activity, logs map[string]string, at time.Time) error {
	var chunks []logPayload
	for _, key := range inOrder(logs) {
		for _, text := range cut(logs[key]) {
			chunks = append(chunks, logPayload{TaskID: a.id, Attempt: 1, Text: text, Stage: key})
		}
	}
	if len(chunks) == 0 {
		return nil
	}
	id := strconv.FormatInt(a.id, 10)
	stream := "node_log:" + id
	var last int64
	err := im.tx.QueryRow(ctx, `INSERT INTO event_stream AS s (name, last_sequence) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET last_sequence = s.last_sequence + excluded.last_sequence RETURNING last_sequence`,
		stream, len(chunks)).Scan(&last)
	if err != nil {
		return fmt.Errorf("number the log of node run %d: %w", a.id, err)
	}
	rooms := a.rooms()
	for i, c := range chunks {
		payload, err := encode(c)
		if err != nil {
			return fmt.Errorf("encode a log: %w", err)
		}
		event, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make an event id: %w", err)
		}
		sequence := last - int64(len(chunks)-1-i)
		err = im.out.add(ctx, "event", stream, sequence, event, "node:task:log", "task", id, rooms, payload, at)
		if err != nil {
			return err
		}
	}
	return nil
}

// rooms are those of a node run's events.
func (a *activity) rooms() []string {
	out := []string{"task:" + strconv.FormatInt(a.id, 10)}
	if a.run != nil {
		out = append(out, "flowchart_run:"+strconv.FormatInt(*a.run, 10))
	}
	if a.chart != nil {
		id := strconv.FormatInt(*a.chart, 10)
		out = append(out, "flowchart:"+id, "flowchart_node:"+id+"/"+a.node)
	}
	return out
}

// inOrder gives the keys in the order of the stages, unknown ones last.
func inOrder(logs map[string]string) []string {
	return slices.SortedFunc(maps.Keys(logs), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
	})
}

func rank(key string) int {
	if i := slices.Index(stageKeys(), key); i >= 0 {
		return i
	}
	return len(stageKeys())
}

// cut divides a log into pieces, at line ends where there are any.
func cut(text string) []string {
	var out []string
	for len(text) > chunkBytes {
		at := strings.LastIndexByte(text[:chunkBytes], '\n') + 1
		if at == 0 {
			for at = chunkBytes; at > 0 && !utf8.RuneStart(text[at]); at-- {
				continue
			}
		}
		out = append(out, text[:at])
		text = text[at:]
	}
	if text != "" {
		out = append(out, text)
	}
	return out
}
