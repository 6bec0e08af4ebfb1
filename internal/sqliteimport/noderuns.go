package sqliteimport

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/flowchart"
)

// activity is a node run on its way: a row of flowchart_run_nodes, of
// agent_tasks, or both.
type activity struct {
	table  string // that it is counted in
	sid    string
	id     int64
	run    *int64
	chart  *int64
	node   string
	kind   string
	title  string
	index  int64
	main   row
	task   row // nil if there is none
	config map[string]any
}

// first gives the first of the rows in which a column says something.
func (a *activity) first(column string) row {
	if a.task == nil || a.main.trimmed(column) != "" {
		return a.main
	}
	return a.task
}

// importNodeRuns writes what ran in runs, and then the tasks that ran on their
// own.
func (im *importer) importNodeRuns(ctx context.Context) error {
	last, err := im.src.maxOf(ctx, "agent_tasks", "id")
	if err != nil {
		return err
	}
	im.nodes = nodeIDs{used: map[int64]bool{}, last: max(last, 0)}
	im.rep.table("flowchart_run_nodes")
	im.rep.table("agent_tasks")
	err = im.src.each(ctx, "flowchart_run_nodes", func(r row) error {
		im.read("flowchart_run_nodes")
		return im.importRunNode(ctx, r)
	})
	if err != nil {
		return err
	}
	return im.src.each(ctx, "agent_tasks", func(r row) error {
		im.read("agent_tasks")
		return im.importTask(ctx, r)
	})
}

func (im *importer) importRunNode(ctx context.Context, r row) error {
	const table = "flowchart_run_nodes"
	runID, _ := r.integer("flowchart_run_id")
	run := im.runs[runID]
	if run == nil {
		reason := "its run is not in the file"
		if im.refused["flowchart_runs"][runID] != "" {
			reason = "its run was not taken over"
		}
		return im.skip(ctx, table, r, reason)
	}
	a := &activity{table: table, sid: im.sourceID(table, r), run: &runID, chart: &run.flowchart, main: r}
	var taskID int64
	if id, ok := r.id("agent_task_id"); ok {
		err := im.src.where(ctx, "agent_tasks", "id", id, func(t row) error {
			a.task, taskID = t, id
			return nil
		})
		if err != nil {
			return err
		}
		if a.task == nil {
			im.rep.table(table).note("its task is not in the file; what the task knew is missing", a.sid)
		}
	}
	if !im.place(a, r, run) {
		return im.skip(ctx, table, r, "its node is not in the file, and it does not say of what kind it was")
	}
	a.id = im.nodes.take(taskID)
	if err := im.writeActivity(ctx, a); err != nil {
		return fmt.Errorf("node run %s: %w", a.sid, err)
	}
	im.rep.table(table).written()
	return nil
}

// place finds what an activity was about: the node of the graph, its kind and
// which time it ran.
func (im *importer) place(a *activity, r row, run *runRef) bool {
	node, _ := r.integer("flowchart_node_id")
	ref, known := im.charts[run.flowchart].nodes[node]
	a.node, a.kind, a.title = nodeID(node), ref.kind, ref.title
	if !known {
		a.kind = a.guessKind()
		a.title = "Node " + strconv.FormatInt(node, 10)
		if a.kind == "" {
			return false
		}
		im.rep.table(a.table).note("its node is no longer in the flowchart", a.sid)
	}
	index, ok := r.integer("execution_index")
	if last := run.indexes[node]; !ok || index <= last || index > 1<<30 {
		if ok {
			im.rep.table(a.table).note("its execution index was taken and was raised", a.sid)
		}
		index = last + 1
	}
	run.indexes[node] = index
	a.index = index
	return true
}

// guessKind reads the kind from what was stored with the activity.
func (a *activity) guessKind() string {
	if out, ok := a.main.object("output_state_json"); ok {
		if kind := flowchart.Kind(textOf(out["node_type"])); kind.Known() {
			return string(kind)
		}
	}
	if a.task != nil {
		if kind, ok := strings.CutPrefix(a.task.trimmed("kind"), "flowchart_"); ok && flowchart.Kind(kind).Known() {
			return kind
		}
	}
	return ""
}

// importTask writes a task that no node run stands for, and keeps of every task
// what we have no place for.
func (im *importer) importTask(ctx context.Context, r row) error {
	const table = "agent_tasks"
	id, ok := r.id("id")
	if !ok {
		return im.skip(ctx, table, r, "its id is no positive number")
	}
	if !im.nodes.used[id] {
		if err := im.writeTask(ctx, r, id); err != nil {
			return fmt.Errorf("task %d: %w", id, err)
		}
	}
	im.rep.table(table).written()
	rest := left(r, "prompt", "output", "error", "stage_logs")
	if _, err := im.archive(ctx, table, rest, "what node_run has no columns for; prompt, output, error and stage_logs are there"); err != nil {
		return err
	}
	return nil
}

func (im *importer) writeTask(ctx context.Context, r row, id int64) error {
	a := &activity{table: "agent_tasks", sid: strconv.FormatInt(id, 10), id: im.nodes.take(id), main: r, task: r, node: "quick", index: 1}
	runID, inRun := r.id("flowchart_run_id")
	if run := im.runs[runID]; inRun && run != nil {
		if a.run, a.chart = &runID, &run.flowchart; !im.place(a, r, run) {
			a.kind = "task"
		}
	} else {
		if inRun {
			im.rep.table(a.table).note("its run is not there; it stands on its own", a.sid)
		}
		a.kind, a.title = soloKind(r.trimmed("kind")), soloTitle(r, id)
		a.config = map[string]any{"prompt": r.text("prompt")}
		if model, ok := r.id("model_id"); ok && im.models[model] {
			a.config["model_id"] = model
		}
	}
	return im.writeActivity(ctx, a)
}

func soloKind(kind string) string {
	kind = strings.TrimPrefix(strings.ToLower(kind), "flowchart_")
	switch {
	case strings.HasPrefix(kind, "rag_"):
		return "rag"
	case flowchart.Kind(kind).Known():
		return kind
	default:
		return "task"
	}
}

func soloTitle(r row, id int64) string {
	line, _, _ := strings.Cut(r.trimmed("prompt"), "\n")
	return cmp.Or(short(strings.TrimSpace(line), 80), "Task "+strconv.FormatInt(id, 10))
}

// writeActivity writes the node run, its attempt and its logs.
func (im *importer) writeActivity(ctx context.Context, a *activity) error {
	status, problem := im.verdict(a)
	created, _ := im.created(a.table, a.sid, a.main)
	started, finished := im.activityTimes(a, created)
	docs, err := im.documents(ctx, a)
	if err != nil {
		return err
	}
	fault, err := problem.json()
	if err != nil {
		return err
	}
	attempt, failures := 0, 0
	if a.task != nil {
		attempt = 1
	}
	if status == failed {
		failures = attempt
	}
	err = im.out.add(ctx, "node_run", a.id, a.run, a.chart, a.node, a.kind, short(a.title, flowchart.MaxTitleLength), status, attempt, failures, 0.0,
		a.index, docs.config, docs.input, docs.output, docs.blob, docs.bytes, docs.routing, docs.mode, stageOrNil(a.task), fault,
		created, created, created, started, finished)
	if err != nil || a.task == nil {
		return err
	}
	return im.writeAttempt(ctx, a, ended{status: status, fault: fault, created: created, started: started, finished: finished})
}

// verdict gives the final state and the error of an activity.
func (im *importer) verdict(a *activity) (string, *failure) {
	status, why := ending(a.first("status").text("status"))
	switch {
	case why != "":
		im.rep.table(a.table).note(why+"; it is "+status+" now", a.sid)
		return status, &failure{Code: "imported_unfinished", Message: why}
	case status == failed:
		return status, &failure{Code: "imported", Message: message(a.limited(im, "error"))}
	case status == succeeded && a.main.boolean("degraded_status"):
		return degraded, &failure{Code: "degraded", Message: message(a.limited(im, "degraded_reason"))}
	}
	if text := a.limited(im, "error"); strings.TrimSpace(text) != "" {
		return status, &failure{Code: "imported", Message: text}
	}
	return status, nil
}

// limited gives a text that is not too large to be stored.
func (a *activity) limited(im *importer, column string) string {
	text := a.first(column).text(column)
	if len(text) <= maxValueBytes {
		return text
	}
	im.rep.table(a.table).note("its "+column+" is too large and was cut", a.sid)
	return clean(text[:maxValueBytes])
}

func (im *importer) activityTimes(a *activity, created time.Time) (started *time.Time, finished time.Time) {
	started, finished = im.times(a.main, created)
	if a.task == nil {
		return started, finished
	}
	if t, ok := im.moment(a.task, "started_at"); ok && started == nil {
		started = &t
	}
	if _, own := im.moment(a.main, "finished_at"); !own {
		if t, ok := im.moment(a.task, "finished_at"); ok {
			finished = t
		}
	}
	return started, finished
}
