package sqliteimport

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// How things end; what the original called otherwise is mapped.
const (
	succeeded = "succeeded"
	degraded  = "degraded"
	failed    = "failed"
	cancelled = "cancelled"
	skipped   = "skipped"
)

// nothingLive is the marking of a run in which nothing is outstanding.
const nothingLive = `{}`

// unfinished is why something that had not ended is cancelled now.
const unfinished = "imported while it was running"

// ending maps a status of the original to a final one. why is set where that is
// more than a translation.
func ending(status string) (final, why string) {
	switch s := strings.ToLower(strings.TrimSpace(status)); s {
	case "succeeded", "success", "completed":
		return succeeded, ""
	case "failed", "error":
		return failed, ""
	case "canceled", "cancelled", "stopped":
		return cancelled, ""
	case "skipped":
		return skipped, ""
	case "pending", "queued", "running", "pausing", "paused", "stopping", "starting":
		return cancelled, unfinished
	default:
		return failed, fmt.Sprintf("its status in the original, %q, is unknown", short(s, 40))
	}
}

// failure is the error of a run or a node, as the engine writes it.
type failure struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
	NodeID    string `json:"node_id,omitempty"`
}

func (f *failure) json() (any, error) {
	if f == nil {
		return nil, nil //nolint:nilnil // no error is null
	}
	return orNull(f)
}

// runRef is what node runs need to know of a run that was taken over.
type runRef struct {
	flowchart int64
	indexes   map[int64]int64 // highest execution index by node
}

// runFacts are what a run's row says only through its node runs.
type runFacts struct {
	executions map[int64]int64
	failures   map[int64]*failure
}

// importRuns writes runs under the ids they had.
func (im *importer) importRuns(ctx context.Context) error {
	const table = "flowchart_runs"
	im.rep.table(table)
	facts, err := im.runFacts(ctx)
	if err != nil {
		return err
	}
	return im.src.each(ctx, table, func(r row) error {
		im.read(table)
		id, ok := r.id("id")
		chartID, _ := r.integer("flowchart_id")
		reason := ""
		switch {
		case !ok:
			reason = "its id is no positive number"
		case im.charts[chartID] == nil && im.refused["flowcharts"][chartID] != "":
			reason = "its flowchart was not taken over"
		case im.charts[chartID] == nil:
			reason = "its flowchart is not in the file"
		}
		if reason != "" {
			im.refuseRow(table, id, reason)
			return im.skip(ctx, table, r, reason)
		}
		if err := im.writeRun(ctx, r, id, chartID, facts); err != nil {
			return fmt.Errorf("run %d: %w", id, err)
		}
		im.runs[id] = &runRef{flowchart: chartID, indexes: map[int64]int64{}}
		im.rep.table(table).written()
		return nil
	})
}

func (im *importer) writeRun(ctx context.Context, r row, id, chartID int64, facts runFacts) error {
	const table = "flowchart_runs"
	sid := strconv.FormatInt(id, 10)
	c := im.charts[chartID]
	status, why := ending(r.text("status"))
	var fault *failure
	switch {
	case why != "":
		im.rep.table(table).note(why+"; it is "+status+" now", sid)
		fault = &failure{Code: "imported_unfinished", Message: why}
	case status == failed:
		fault = facts.failures[id]
		if fault == nil {
			fault = &failure{Code: "imported", Message: "The original did not keep the reason."}
		}
	case status == skipped:
		status = cancelled
	}
	problem, err := fault.json()
	if err != nil {
		return err
	}
	created, _ := im.created(table, sid, r)
	started, finished := im.times(r, created)
	return im.out.add(ctx, "flowchart_run", id, chartID, chartID, 1, status, nil, problem, json.RawMessage(nothingLive), c.start,
		facts.executions[id], c.maxExecutions, c.maxParallel, created, started, finished)
}

// times gives when something started, if it did, and when it ended.
func (im *importer) times(r row, created time.Time) (started *time.Time, finished time.Time) {
	if t, ok := im.moment(r, "started_at"); ok {
		started = &t
	}
	if t, ok := im.moment(r, "finished_at", "updated_at"); ok {
		return started, t
	}
	if started != nil {
		return started, *started
	}
	return nil, created
}

// runFacts reads the node runs once for all runs.
func (im *importer) runFacts(ctx context.Context) (runFacts, error) {
	f := runFacts{executions: map[int64]int64{}, failures: map[int64]*failure{}}
	t := im.src.tables["flowchart_run_nodes"]
	for _, column := range []string{"flowchart_run_id", "flowchart_node_id", "status", "error"} {
		if !t.has(column) {
			return f, nil
		}
	}
	rows, err := im.src.db.QueryContext(ctx, `SELECT flowchart_run_id, flowchart_node_id, lower(trim(status)) = 'failed', substr(error, 1, 10000)
		FROM flowchart_run_nodes WHERE typeof(flowchart_run_id) = 'integer' ORDER BY id`)
	if err != nil {
		return f, im.src.explain(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var run int64
		var node any
		var bad sql.NullBool
		var text sql.NullString
		if err := rows.Scan(&run, &node, &bad, &text); err != nil {
			return f, im.src.explain(err)
		}
		f.executions[run]++
		if bad.Bool && f.failures[run] == nil {
			id, _ := row{"": node}.id("")
			f.failures[run] = &failure{Code: "imported", Message: message(clean(text.String)), NodeID: nodeID(id)}
		}
	}
	if err := rows.Err(); err != nil {
		return f, im.src.explain(err)
	}
	return f, nil
}

func message(text string) string {
	if strings.TrimSpace(text) == "" {
		return "The original did not keep the reason."
	}
	return text
}

// nodeIDs gives node runs their ids: that of the task they belong to, which is
// the number that people saw, or a new one above all of them.
type nodeIDs struct {
	used map[int64]bool
	last int64
}

func (n *nodeIDs) take(task int64) int64 {
	if task > 0 && !n.used[task] {
		n.used[task] = true
		return task
	}
	n.last++
	return n.last
}
