package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/schedule"
)

type previewScheduleInput struct {
	Body struct {
		Cron     string `json:"cron" maxLength:"1000"`
		TimeZone string `json:"time_zone,omitempty" maxLength:"200" default:"UTC"`
		Count    int    `json:"count,omitempty" minimum:"1" maximum:"100" default:"5"`
	}
}

type occurrenceView struct {
	At    time.Time `json:"at"`
	Local string    `json:"local" doc:"As a clock in the time zone shows it"`
}

type previewScheduleOutput struct {
	Body struct {
		Cron        string           `json:"cron"`
		Description string           `json:"description"`
		Times       []occurrenceView `json:"times"`
	}
}

type calendarInput struct {
	Span string `query:"span" enum:"day,week" default:"day" doc:"How far ahead"`
}

type calendarBucket struct {
	Index int `json:"index"`
	Count int `json:"count"`
}

type calendarStrip struct {
	ScheduleID int64            `json:"schedule_id"`
	Name       string           `json:"name"`
	Buckets    []calendarBucket `json:"buckets" doc:"Only those with firings"`
}

type calendarOutput struct {
	Body struct {
		From          time.Time       `json:"from"`
		BucketSeconds int             `json:"bucket_seconds"`
		BucketCount   int             `json:"bucket_count"`
		Schedules     []calendarStrip `json:"schedules" doc:"The next one to fire first"`
		Truncated     bool            `json:"truncated" doc:"There are more schedules"`
	}
}

// maxStrips bounds a calendar.
const maxStrips = 50

func (s *server) registerScheduleTimes() {
	handle(s, route{
		method: http.MethodPost, path: "/schedules/preview", id: "preview-schedule", tag: "schedules", permission: auth.Read,
		summary: "What a cron expression means, and its next times",
	}, func(_ context.Context, in *previewScheduleInput) (*previewScheduleOutput, error) {
		p, err := schedule.PreviewOf(in.Body.Cron, in.Body.TimeZone, in.Body.Count, s.deps.Now())
		if err != nil {
			return nil, err
		}
		out := &previewScheduleOutput{}
		out.Body.Cron, out.Body.Description = p.Cron, p.Description
		out.Body.Times = make([]occurrenceView, len(p.Times))
		for i, t := range p.Times {
			out.Body.Times[i] = occurrenceView(t)
		}
		return out, nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/schedules/calendar", id: "get-schedule-calendar", tag: "schedules", permission: auth.Read,
		summary: "How many firings come when, by schedule",
	}, s.calendar)
}

func (s *server) calendar(ctx context.Context, in *calendarInput) (*calendarOutput, error) {
	rows, err := s.deps.Schedules.Planned(ctx, maxStrips+1)
	if err != nil {
		return nil, err
	}
	out := &calendarOutput{}
	b := &out.Body
	b.Truncated = len(rows) > maxStrips
	rows = rows[:min(len(rows), maxStrips)]
	width, n := 15*time.Minute, 24*4
	if in.Span == "week" {
		width, n = time.Hour, 24*7
	}
	b.BucketSeconds, b.BucketCount = int(width.Seconds()), n
	b.From = s.deps.Now().UTC().Truncate(width)
	strips := schedule.Calendar(rows, b.From, width, b.BucketCount)
	b.Schedules = make([]calendarStrip, len(strips))
	for i, strip := range strips {
		v := calendarStrip{ScheduleID: strip.Schedule.ID, Name: strip.Schedule.Name, Buckets: make([]calendarBucket, len(strip.Buckets))}
		for j, bucket := range strip.Buckets {
			v.Buckets[j] = calendarBucket(bucket)
		}
		b.Schedules[i] = v
	}
	return out, nil
}
