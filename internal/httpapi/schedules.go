package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/periodic"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/schedule"
)

// shownFirings is how many coming firings a schedule carries.
const shownFirings = 5

type scheduleFiringView struct {
	ID             int64     `json:"id"`
	DueAt          time.Time `json:"due_at" doc:"The time that the expression names"`
	FiredAt        time.Time `json:"fired_at"`
	Origin         string    `json:"origin" enum:"due,catch_up,manual"`
	Outcome        string    `json:"outcome" enum:"started,skipped,missed,failed"`
	Missed         int32     `json:"missed" doc:"Of outcome missed: how many times, due_at being the last of them"`
	Reason         string    `json:"reason" doc:"A stable word; empty if a run was started"`
	Message        string    `json:"message"`
	FlowchartRunID *int64    `json:"flowchart_run_id"`
	RunStatus      string    `json:"run_status" doc:"Of that run; empty if there is none"`
	RunVersion     int32     `json:"run_version,omitempty" doc:"The version of the flowchart that ran"`
	NodeRunID      *int64    `json:"node_run_id" doc:"The node of the index run that was started"`
	NodeStatus     string    `json:"node_status,omitempty" doc:"Of that node"`
}

type scheduleView struct {
	ID               int64                        `json:"id"`
	Kind             string                       `json:"kind" enum:"flowchart,rag_source" doc:"What it starts: a run of a flowchart, or an index run of a source"`
	Name             string                       `json:"name"`
	FlowchartID      int64                        `json:"flowchart_id" doc:"0: it indexes a source"`
	FlowchartName    string                       `json:"flowchart_name"`
	FlowchartDeleted bool                         `json:"flowchart_deleted"`
	SourceID         *int64                       `json:"rag_source_id"`
	SourceName       string                       `json:"rag_source_name,omitempty"`
	Mode             string                       `json:"mode,omitempty" enum:"fresh,delta" doc:"How the source is indexed"`
	Input            json.RawMessage              `json:"input"`
	Cron             string                       `json:"cron" doc:"Empty: every_seconds says when"`
	EverySeconds     *int32                       `json:"every_seconds" doc:"Counted from its creation"`
	Description      string                       `json:"description" doc:"When, in words"`
	TimeZone         string                       `json:"time_zone"`
	JitterSeconds    int32                        `json:"jitter_seconds"`
	MissedPolicy     string                       `json:"missed_policy" enum:"skip,catch_up"`
	CatchUpLimit     int32                        `json:"catch_up_limit"`
	OverlapPolicy    string                       `json:"overlap_policy" enum:"allow,skip"`
	Enabled          bool                         `json:"enabled"`
	NextFirings      []time.Time                  `json:"next_firings" doc:"The next ones, jitter included"`
	LastFiring       optional[scheduleFiringView] `json:"last_firing"`
	CreatedAt        time.Time                    `json:"created_at"`
	UpdatedAt        time.Time                    `json:"updated_at"`
	DeletedAt        *time.Time                   `json:"deleted_at"`
}

func viewSchedule(i schedule.Item) scheduleView {
	r := i.Schedule
	v := scheduleView{
		ID: r.ID, Kind: r.TargetKind, Name: r.Name, FlowchartName: i.FlowchartName, FlowchartDeleted: i.FlowchartDeleted, Input: r.Input,
		Cron: r.Cron, TimeZone: r.TimeZone, JitterSeconds: r.JitterSeconds, MissedPolicy: r.MissedPolicy, CatchUpLimit: r.CatchUpLimit,
		OverlapPolicy: r.OverlapPolicy, Enabled: r.Enabled, NextFirings: schedule.Upcoming(&r, shownFirings),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, DeletedAt: r.DeletedAt,
	}
	if r.FlowchartID != nil {
		v.FlowchartID = *r.FlowchartID
	}
	if r.RagSourceID != nil {
		v.SourceID, v.SourceName, v.Mode = r.RagSourceID, i.SourceName, schedule.ModeOf(&r)
	}
	v.EverySeconds, v.Description = r.EverySeconds, schedule.DescribeRow(&r)
	if i.LastID != 0 {
		v.LastFiring.Value = &scheduleFiringView{
			ID: i.LastID, DueAt: i.LastDueAt, FiredAt: i.LastFiredAt, Origin: i.LastOrigin, Outcome: i.LastOutcome, Missed: i.LastMissed,
			Reason: i.LastReason, Message: i.LastMessage, FlowchartRunID: i.LastRunID, RunStatus: i.LastRunStatus,
			NodeRunID: i.LastNodeRunID, NodeStatus: i.LastNodeStatus,
		}
	}
	return v
}

func viewFiring(f schedule.Firing) scheduleFiringView {
	x := f.ScheduleFiring
	return scheduleFiringView{
		ID: x.ID, DueAt: x.DueAt, FiredAt: x.FiredAt, Origin: x.Origin, Outcome: x.Outcome, Missed: x.Missed, Reason: x.Reason, Message: x.Message,
		FlowchartRunID: x.FlowchartRunID, RunStatus: f.RunStatus, RunVersion: f.RunVersion, NodeRunID: x.NodeRunID, NodeStatus: f.NodeStatus,
	}
}

type systemTaskView struct {
	Kind          string          `json:"kind" enum:"system"`
	Name          string          `json:"name"`
	Host          string          `json:"host" doc:"Of what each host does by itself"`
	PeriodSeconds float64         `json:"period_seconds"`
	NextAt        *time.Time      `json:"next_at" doc:"null: the schedulers do not do it, workers do"`
	LateSeconds   float64         `json:"late_seconds" doc:"Since next_at, when that has passed"`
	StartedAt     *time.Time      `json:"started_at"`
	FinishedAt    *time.Time      `json:"finished_at"`
	Running       bool            `json:"running"`
	Outcome       string          `json:"outcome" enum:"succeeded,failed,interrupted," doc:"Of the last one that ended; empty: none did"`
	Error         string          `json:"error"`
	Detail        json.RawMessage `json:"detail"`
}

func viewSystemTask(t periodic.State) systemTaskView {
	return systemTaskView{
		Kind: "system", Name: t.Name, Host: t.Host, PeriodSeconds: t.PeriodSeconds, NextAt: t.NextAt, LateSeconds: t.LateSeconds, StartedAt: t.StartedAt,
		FinishedAt: t.FinishedAt, Running: t.Running, Outcome: t.Outcome, Error: t.Error, Detail: t.Detail,
	}
}

type schedulerView struct {
	Hostname  string    `json:"hostname"`
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	BeatAt    time.Time `json:"beat_at"`
}

type scheduleOutput struct {
	ETag string `header:"ETag"`
	Body scheduleView
}

type schedulesOutput struct {
	Body struct {
		Items      []scheduleView   `json:"items"`
		NextCursor *string          `json:"next_cursor"`
		System     []systemTaskView `json:"system" doc:"The system's own periodic work; it cannot be changed"`
		Schedulers []schedulerView  `json:"schedulers" doc:"The processes that live and fire schedules; empty: nothing is fired"`
	}
}

type listSchedulesInput struct {
	PageInput
	FlowchartID int64 `query:"flowchart_id" minimum:"0" doc:"Only those of this flowchart"`
	SourceID    int64 `query:"rag_source_id" minimum:"0" doc:"Only that of this source"`
}

type createScheduleInput struct {
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           struct {
		Kind          string          `json:"kind,omitempty" enum:"flowchart" default:"flowchart"`
		Name          string          `json:"name" minLength:"1" maxLength:"200"`
		FlowchartID   int64           `json:"flowchart_id" minimum:"1"`
		Input         json.RawMessage `json:"input,omitempty" doc:"The input of its runs, an object"`
		Cron          string          `json:"cron,omitempty" maxLength:"200" doc:"Minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly"`
		EverySeconds  *int32          `json:"every_seconds,omitempty" minimum:"60" maximum:"31536000" doc:"Instead of cron: an interval, counted from now"`
		TimeZone      string          `json:"time_zone,omitempty" maxLength:"64" default:"UTC" doc:"IANA name"`
		JitterSeconds int32           `json:"jitter_seconds,omitempty" minimum:"0" maximum:"3600" doc:"Each firing is moved by up to that much, always the same for a due time"`
		MissedPolicy  string          `json:"missed_policy,omitempty" enum:"skip,catch_up" default:"catch_up" doc:"What becomes of the times at which no scheduler ran"`
		CatchUpLimit  int32           `json:"catch_up_limit,omitempty" minimum:"1" maximum:"100" default:"1" doc:"How many of them are caught up, the newest ones"`
		OverlapPolicy string          `json:"overlap_policy,omitempty" enum:"allow,skip" default:"skip" doc:"What becomes of a time at which the last run still runs"`
		Enabled       *bool           `json:"enabled,omitempty" doc:"true if it is not given"`
	}
}

type updateScheduleInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
	Body    struct {
		Name          *string         `json:"name,omitempty" minLength:"1" maxLength:"200"`
		FlowchartID   *int64          `json:"flowchart_id,omitempty" minimum:"1"`
		Input         json.RawMessage `json:"input,omitempty"`
		Cron          *string         `json:"cron,omitempty" maxLength:"200" doc:"Takes the place of an interval"`
		EverySeconds  *int32          `json:"every_seconds,omitempty" minimum:"60" maximum:"31536000" doc:"Takes the place of an expression"`
		TimeZone      *string         `json:"time_zone,omitempty" maxLength:"64"`
		JitterSeconds *int32          `json:"jitter_seconds,omitempty" minimum:"0" maximum:"3600"`
		MissedPolicy  *string         `json:"missed_policy,omitempty" enum:"skip,catch_up"`
		CatchUpLimit  *int32          `json:"catch_up_limit,omitempty" minimum:"1" maximum:"100"`
		OverlapPolicy *string         `json:"overlap_policy,omitempty" enum:"allow,skip"`
		Enabled       *bool           `json:"enabled,omitempty"`
	}
}

type deleteScheduleInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
}

type listFiringsInput struct {
	IDInput
	PageInput
}

type fireScheduleInput struct {
	IDInput
	IdempotencyKey string `header:"Idempotency-Key"`
}

func (s *server) registerSchedules() {
	handle(s, route{
		method: http.MethodGet, path: "/schedules", id: "list-schedules", tag: "schedules", permission: auth.Read,
		summary: "Schedules, the system's periodic work, and the schedulers that live",
	}, s.listSchedules)
	handle(s, route{
		method: http.MethodPost, path: "/schedules", id: "create-schedule", tag: "schedules", permission: auth.Write,
		audit: true, idempotent: true, summary: "Create a schedule", status: http.StatusCreated,
	}, s.createSchedule)
	handle(s, route{
		method: http.MethodGet, path: "/schedules/{id}", id: "get-schedule", tag: "schedules", permission: auth.Read, summary: "A schedule",
	}, func(ctx context.Context, in *IDInput) (*scheduleOutput, error) {
		return s.schedule(ctx, s.deps.DB, in.ID)
	})
	handle(s, route{
		method: http.MethodPatch, path: "/schedules/{id}", id: "update-schedule", tag: "schedules", permission: auth.Write,
		audit: true, summary: "Change a schedule; its next time is computed from now",
	}, s.updateSchedule)
	handle(s, route{
		method: http.MethodDelete, path: "/schedules/{id}", id: "delete-schedule", tag: "schedules", permission: auth.Write,
		audit: true, summary: "Delete a schedule; its runs stay, and it can be restored", status: http.StatusNoContent,
	}, s.deleteSchedule)
	handle(s, route{
		method: http.MethodPost, path: "/schedules/{id}/restore", id: "restore-schedule", tag: "schedules", permission: auth.Write,
		audit: true, summary: "Take a deletion back",
	}, s.restoreSchedule)
	handle(s, route{
		method: http.MethodPost, path: "/schedules/{id}/fire", id: "fire-schedule", tag: "schedules", permission: auth.Write,
		audit: true, idempotent: true, summary: "Start its run now, whatever its times and policies", status: http.StatusAccepted,
	}, s.fireSchedule)
	handle(s, route{
		method: http.MethodGet, path: "/schedules/{id}/firings", id: "list-schedule-firings", tag: "schedules", permission: auth.Read,
		summary: "What became of its times, newest first",
	}, s.listFirings)
	s.registerScheduleTimes()
}

func (s *server) schedule(ctx context.Context, q postgres.Querier, id int64) (*scheduleOutput, error) {
	i, err := s.deps.Schedules.Get(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return &scheduleOutput{ETag: etag(i.Schedule.Revision), Body: viewSchedule(i)}, nil
}

func (s *server) listSchedules(ctx context.Context, in *listSchedulesInput) (*schedulesOutput, error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	var flowchart, source *int64
	if in.FlowchartID != 0 {
		flowchart = &in.FlowchartID
	}
	if in.SourceID != 0 {
		source = &in.SourceID
	}
	rows, err := s.deps.Schedules.List(ctx, flowchart, source, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	tasks, err := periodic.List(ctx, s.deps.DB)
	if err != nil {
		return nil, err
	}
	alive, err := periodic.Schedulers(ctx, s.deps.DB)
	if err != nil {
		return nil, err
	}
	p := paged(rows, in.Limit, func(i schedule.Item) int64 { return i.Schedule.ID }, viewSchedule).Body
	out := &schedulesOutput{}
	out.Body.Items, out.Body.NextCursor = p.Items, p.NextCursor
	out.Body.System, out.Body.Schedulers = make([]systemTaskView, len(tasks)), make([]schedulerView, len(alive))
	for i, t := range tasks {
		out.Body.System[i] = viewSystemTask(t)
	}
	for i, a := range alive {
		out.Body.Schedulers[i] = schedulerView{Hostname: a.Hostname, PID: a.PID, Version: a.Version, StartedAt: a.StartedAt, BeatAt: a.BeatAt}
	}
	return out, nil
}

func (s *server) createSchedule(ctx context.Context, in *createScheduleInput) (*scheduleOutput, error) {
	b := in.Body
	f := schedule.Fields{
		Name: b.Name, FlowchartID: b.FlowchartID, Input: b.Input, Cron: b.Cron, EverySeconds: b.EverySeconds, TimeZone: b.TimeZone, JitterSeconds: b.JitterSeconds,
		MissedPolicy: b.MissedPolicy, CatchUpLimit: b.CatchUpLimit, OverlapPolicy: b.OverlapPolicy, Enabled: b.Enabled == nil || *b.Enabled,
	}
	return idempotent(ctx, s, "create-schedule", in.IdempotencyKey, b, func(ctx context.Context, tx *postgres.Tx) (*scheduleOutput, error) {
		by := user(ctx).UserID
		id, err := s.deps.Schedules.Create(ctx, tx, f, &by)
		if err != nil {
			return nil, err
		}
		if err := s.audit(ctx, tx, "schedule.created", "schedule", id); err != nil {
			return nil, err
		}
		return s.schedule(ctx, tx, id)
	})
}

func (s *server) updateSchedule(ctx context.Context, in *updateScheduleInput) (*scheduleOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, "schedule.updated", "schedule", in.ID, func(ctx context.Context, tx *postgres.Tx) (*scheduleOutput, error) {
		if err := s.deps.Schedules.Update(ctx, tx, in.ID, revision, in.apply); err != nil {
			return nil, err
		}
		return s.schedule(ctx, tx, in.ID)
	})
}

// apply sets what the request has.
func (in *updateScheduleInput) apply(f *schedule.Fields) {
	b := in.Body
	set(&f.Name, b.Name)
	set(&f.FlowchartID, b.FlowchartID)
	if b.Cron != nil {
		f.Cron, f.EverySeconds = *b.Cron, nil
	}
	if b.EverySeconds != nil {
		f.EverySeconds = b.EverySeconds
		if b.Cron == nil {
			f.Cron = ""
		}
	}
	set(&f.TimeZone, b.TimeZone)
	set(&f.JitterSeconds, b.JitterSeconds)
	set(&f.MissedPolicy, b.MissedPolicy)
	set(&f.CatchUpLimit, b.CatchUpLimit)
	set(&f.OverlapPolicy, b.OverlapPolicy)
	set(&f.Enabled, b.Enabled)
	if b.Input != nil {
		f.Input = b.Input
	}
}

func set[T any](to, given *T) {
	if given != nil {
		*to = *given
	}
}

func (s *server) deleteSchedule(ctx context.Context, in *deleteScheduleInput) (*struct{}, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return drop(ctx, s, "schedule.deleted", "schedule", in.ID, func(ctx context.Context, tx *postgres.Tx) error {
		return s.deps.Schedules.SetDeleted(ctx, tx, in.ID, revision, true)
	})
}

func (s *server) restoreSchedule(ctx context.Context, in *IDInput) (*scheduleOutput, error) {
	return change(ctx, s, "schedule.restored", "schedule", in.ID, func(ctx context.Context, tx *postgres.Tx) (*scheduleOutput, error) {
		if err := s.deps.Schedules.SetDeleted(ctx, tx, in.ID, 0, false); err != nil {
			return nil, err
		}
		return s.schedule(ctx, tx, in.ID)
	})
}

func (s *server) fireSchedule(ctx context.Context, in *fireScheduleInput) (*runOutput, error) {
	return idempotent(ctx, s, "fire-schedule", in.IdempotencyKey, in.ID, func(ctx context.Context, tx *postgres.Tx) (*runOutput, error) {
		by := user(ctx).UserID
		r, err := s.deps.Schedules.FireNow(ctx, tx, s.deps.Engine, in.ID, &by)
		if err != nil {
			return nil, err
		}
		return runOut(r), s.audit(ctx, tx, "schedule.fired", "schedule", in.ID)
	})
}

func (s *server) listFirings(ctx context.Context, in *listFiringsInput) (*pageOutput[scheduleFiringView], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	rows, err := s.deps.Schedules.Firings(ctx, in.ID, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	return paged(rows, in.Limit, func(f schedule.Firing) int64 { return f.ScheduleFiring.ID }, viewFiring), nil
}
