package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/periodic"
)

// scheduled makes a flowchart and a schedule of it.
func (b *testBundle) scheduled(t *testing.T, more string) string {
	t.Helper()
	flow := strings.TrimPrefix(b.flowchart(t, "Nightly"), "/api/flowcharts/")
	body := `{"name":"Report","flowchart_id":` + flow + `,"cron":"30 2  * * *","time_zone":"Europe/Berlin"` + more + `}`
	return "/api/schedules/" + b.admin(t, http.StatusCreated, http.MethodPost, "/api/schedules", body).id(t, "id")
}

func TestScheduleLifecycle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.scheduled(t, `,"enabled":false,"jitter_seconds":60`)
	got := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	require.Equal(t, `"1"`, got.header.Get("ETag"))
	for member, want := range map[string]any{
		"kind": "flowchart", "name": "Report", "flowchart_name": "Nightly", "cron": "30 2 * * *", "description": "At 02:30 every day",
		"time_zone": "Europe/Berlin", "missed_policy": "catch_up", "overlap_policy": "skip", "enabled": false, "last_firing": nil, "deleted_at": nil,
	} {
		require.Equal(t, want, got.at(t, member), member)
	}
	require.Empty(t, got.at(t, "next_firings"), "it is not enabled")

	on := b.admin(t, http.StatusOK, http.MethodPatch, path, `{"enabled":true}`, header{"If-Match", `"1"`})
	require.Len(t, on.at(t, "next_firings"), 5)
	first, err := time.Parse(time.RFC3339Nano, on.at(t, "next_firings", 0).(string))
	require.NoError(t, err)
	require.True(t, first.After(time.Now()))
	b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, path, `{"name":"x"}`, header{"If-Match", `"1"`}).
		problem(t, http.StatusPreconditionFailed, "precondition", "schedule.stale")

	list := b.admin(t, http.StatusOK, http.MethodGet, "/api/schedules", nil)
	require.Len(t, list.at(t, "items"), 1)
	require.Empty(t, list.at(t, "schedulers"), "none runs")
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/schedules?flowchart_id=999", nil).at(t, "items"))

	require.Equal(t, http.StatusNoContent, b.do(t, http.MethodDelete, path, nil, b.as(auth.Editor)).status)
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/schedules", nil).at(t, "items"))
	b.admin(t, http.StatusConflict, http.MethodPost, path+"/fire", nil).problem(t, http.StatusConflict, "conflict", "schedule.deleted")
	require.Len(t, b.admin(t, http.StatusOK, http.MethodPost, path+"/restore", nil).at(t, "next_firings"), 5)
	require.Equal(t, []string{"config:schedule:created", "config:schedule:updated", "config:schedule:deleted", "config:schedule:created"},
		b.events(t, "config:schedule:1"))
	for _, action := range []string{"created", "updated", "deleted", "restored"} {
		require.Contains(t, b.audited(t), "schedule."+action+" 1")
	}
}

func TestSchedulesFaultsAreToldTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/schedules",
		`{"name":" ","flowchart_id":1,"cron":"61 * * * *","time_zone":"Mars","input":[1]}`)
	require.Equal(t, "schedule.invalid", a.at(t, "reason"))
	var places []string
	for i := range 4 {
		places = append(places, fmt.Sprint(a.at(t, "errors", i, "location")))
	}
	require.Equal(t, []string{"body.name", "body.cron", "body.time_zone", "body.input"}, places)
	require.Contains(t, a.at(t, "errors", 1, "message"), `minute is "61"; accepted are *, 0-59`)
	a = b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/schedules", `{"name":"x","flowchart_id":77,"cron":"@daily"}`)
	require.Equal(t, "body.flowchart_id", a.at(t, "errors", 0, "location"))
	viewer := b.do(t, http.MethodPost, "/api/schedules", `{"name":"x","flowchart_id":1,"cron":"@daily"}`, b.as(auth.Viewer))
	require.Equal(t, http.StatusForbidden, viewer.status)
}

func TestScheduleIsCreatedAndFiredOnceByKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.scheduled(t, `,"input":{"a":1}`)
	key := header{"Idempotency-Key", "k1"}
	first := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/fire", nil, key)
	again := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/fire", nil, key)
	require.Equal(t, first.id(t, "flowchart_run", "id"), again.id(t, "flowchart_run", "id"))
	require.Equal(t, "1", first.id(t, "flowchart_run", "schedule_id"))
	firings := b.admin(t, http.StatusOK, http.MethodGet, path+"/firings", nil)
	require.Len(t, firings.at(t, "items"), 1)
	require.Equal(t, "manual", firings.at(t, "items", 0, "origin"))
	require.Equal(t, "started", firings.at(t, "items", 0, "outcome"))
	require.Equal(t, first.id(t, "flowchart_run", "id"), firings.id(t, "items", 0, "flowchart_run_id"))
	require.Equal(t, first.at(t, "flowchart_run", "due_at"), firings.at(t, "items", 0, "due_at"))
	runs := b.admin(t, http.StatusOK, http.MethodGet, "/api/flowchart-runs?schedule_id=1", nil)
	require.Len(t, runs.at(t, "items"), 1)
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/flowchart-runs?schedule_id=2", nil).at(t, "items"))
	require.Equal(t, "started", b.admin(t, http.StatusOK, http.MethodGet, path, nil).at(t, "last_firing", "outcome"))
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/schedules/99/firings", nil)
}

func TestPreviewTellsTimesInTheirZone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.do(t, http.MethodPost, "/api/schedules/preview", `{"cron":"0 9 * * mon","time_zone":"Asia/Tokyo","count":3}`, b.as(auth.Viewer))
	require.Equal(t, http.StatusOK, a.status, a.raw)
	require.Equal(t, "At 09:00 on Mondays", a.at(t, "description"))
	require.Len(t, a.at(t, "times"), 3)
	require.Regexp(t, `^Mon \d{4}-\d\d-\d\d 09:00 JST$`, a.at(t, "times", 0, "local"))
	require.Contains(t, a.at(t, "times", 0, "at"), "T00:00:00Z")
	a = b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/schedules/preview", `{"cron":"0 9 * *","time_zone":"Nowhere"}`)
	require.Equal(t, "body.cron", a.at(t, "errors", 0, "location"))
	require.Equal(t, "body.time_zone", a.at(t, "errors", 1, "location"))
}

func TestCalendarAndSystemTasks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.scheduled(t, "")
	hourly := b.scheduled(t, "")
	b.admin(t, http.StatusOK, http.MethodPatch, hourly, `{"cron":"@hourly"}`)
	day := b.admin(t, http.StatusOK, http.MethodGet, "/api/schedules/calendar", nil)
	require.Equal(t, "96", day.id(t, "bucket_count"))
	require.Equal(t, "Report", day.at(t, "schedules", 0, "name"))
	buckets, ok := day.at(t, "schedules", 0, "buckets").([]any)
	require.True(t, ok)
	require.InDelta(t, 24, len(buckets), 1)
	require.Equal(t, "168", b.admin(t, http.StatusOK, http.MethodGet, "/api/schedules/calendar?span=week", nil).id(t, "bucket_count"))
	b.admin(t, http.StatusUnprocessableEntity, http.MethodGet, "/api/schedules/calendar?span=year", nil)

	require.NoError(t, periodic.NewPresence(b.db, "host-1", "v").Announce(t.Context()))
	require.NoError(t, periodic.Note(t.Context(), b.db, "recovery_sweep", "", time.Second, nil, nil))
	list := b.admin(t, http.StatusOK, http.MethodGet, "/api/schedules", nil)
	require.Equal(t, "host-1", list.at(t, "schedulers", 0, "hostname"))
	require.Equal(t, "system", list.at(t, "system", 0, "kind"))
	require.Equal(t, "succeeded", list.at(t, "system", 0, "outcome"))
}

func TestRetentionSettings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const path = "/api/settings/retention"
	got := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	require.Nil(t, got.at(t, "run_days"), "runs are kept for ever")
	require.Equal(t, "90", got.id(t, "text_days"))
	changed := b.admin(t, http.StatusOK, http.MethodPatch, path, `{"run_days":30,"event_days":null}`, header{"If-Match", got.header.Get("ETag")})
	require.Equal(t, "30", changed.id(t, "run_days"))
	require.Nil(t, changed.at(t, "event_days"))
	require.Equal(t, "90", changed.id(t, "text_days"), "what is absent stays")
	b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, path, `{"run_days":31}`, header{"If-Match", got.header.Get("ETag")})
	a := b.admin(t, http.StatusUnprocessableEntity, http.MethodPatch, path, `{"run_days":0}`)
	require.Equal(t, "body.run_days", a.at(t, "errors", 0, "location"))
	require.Equal(t, http.StatusForbidden, b.do(t, http.MethodPatch, path, `{}`, b.as(auth.Editor)).status)
	require.Contains(t, b.audited(t), "setting.updated 0")
}
