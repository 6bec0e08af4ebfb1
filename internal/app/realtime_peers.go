package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/peers"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/socketio"
)

// The whole picture is put together by the worker that is asked for it: it asks all
// others, at the same time, and tells which of them did not answer.

// lookTimeout is how long a worker may take to tell of itself.
const lookTimeout = time.Second

// told is what one worker said, or why it did not.
type told[T any] struct {
	worker peers.Worker
	said   T
	status int
	mute   string
}

// askAll asks this worker through own and the others over their private sockets. The
// first of the answers is our own; the others follow by name.
func askAll[T any](ctx context.Context, r *realtimeSide, method, path string, body []byte, own func(ctx context.Context) (T, error)) []told[T] {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	others := r.router.Others()
	slices.SortFunc(others, func(a, b peers.Worker) int { return strings.Compare(a.Name, b.Name) })
	out := make([]told[T], 1+len(others))
	var asking sync.WaitGroup
	for i, w := range others {
		asking.Go(func() { out[i+1] = askOne[T](ctx, r, w, method, path, body) })
	}
	out[0] = told[T]{worker: r.self, status: http.StatusOK}
	var err error
	if out[0].said, err = own(ctx); err != nil {
		out[0].status, out[0].mute = statusOf(err), muteReason(err)
	}
	asking.Wait()
	return out
}

func askOne[T any](ctx context.Context, r *realtimeSide, w peers.Worker, method, path string, body []byte) told[T] {
	out := told[T]{worker: w}
	status, raw, err := r.router.Ask(ctx, w, method, path, body)
	switch out.status = status; {
	case err != nil:
		out.mute = muteReason(err)
	case status == http.StatusOK:
		if err := json.Unmarshal(raw, &out.said); err != nil {
			out.mute = "its answer cannot be read; it may be of another release"
		}
	default:
		out.mute = fmt.Sprintf("it answered with status %d", status)
	}
	return out
}

func muteReason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within " + lookTimeout.String()
	}
	return err.Error()
}

func statusOf(err error) int {
	if errs.Is(err, errs.NotFound) {
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}

// Status implements httpapi.Realtime.
func (r *realtimeSide) Status(ctx context.Context, rooms int, room string) httpapi.RealtimeStatus {
	path := realtimePath + "status?" + url.Values{"room": {room}}.Encode()
	answers := askAll(ctx, r, http.MethodGet, path, nil, func(ctx context.Context) (workerReport, error) { return r.report(ctx, room) })
	out := httpapi.RealtimeStatus{At: r.now(), Ready: true, Workers: []httpapi.RealtimeWorker{}}
	var latency realtime.Histogram
	members := map[string]*httpapi.RealtimeRoom{}
	for i, a := range answers {
		w := a.said.Worker
		if a.mute != "" {
			w = muteWorker(a.worker, a.mute)
		}
		w.AnsweredBy = i == 0
		out.Workers = append(out.Workers, w)
		out.Ready = out.Ready && w.Ready
		addUp(&out.Totals, w)
		latency = latency.Plus(a.said.Latency)
		for _, m := range a.said.Rooms {
			if members[m.Room] == nil {
				members[m.Room] = &httpapi.RealtimeRoom{Room: m.Room}
			}
			members[m.Room].Members += m.Members
			members[m.Room].Workers++
		}
	}
	out.Totals.Latency = latencyView(latency)
	out.Rooms = fullest(members, rooms)
	return out
}

func muteWorker(w peers.Worker, why string) httpapi.RealtimeWorker {
	return httpapi.RealtimeWorker{
		Worker: w.Name, Hostname: w.Hostname, PID: w.PID, Version: w.Version, StartedAt: w.StartedAt, Mute: why,
		Sockets: socketsView(socketio.Stats{}), Latency: latencyView(realtime.Histogram{}),
	}
}

func addUp(t *httpapi.RealtimeTotals, w httpapi.RealtimeWorker) {
	t.Connections.WebSocket += w.Connections.WebSocket
	t.Connections.Polling += w.Connections.Polling
	t.Queued.Frames += w.Queued.Frames
	t.Queued.Bytes += w.Queued.Bytes
	t.Delivered += w.Hub.Delivered
	t.Gaps += w.Hub.Gaps
	t.Replays += w.Hub.Replays
	t.Replayed += w.Hub.Replayed
	t.Resyncs += w.Hub.Resyncs
	t.FromLog += w.Hub.FromLog
	t.SlowCloses += w.Hub.SlowCloses
	t.Overflows += w.Hub.Overflows
}

func fullest(rooms map[string]*httpapi.RealtimeRoom, n int) []httpapi.RealtimeRoom {
	out := make([]httpapi.RealtimeRoom, 0, len(rooms))
	for _, r := range rooms {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b httpapi.RealtimeRoom) int {
		return realtime.CompareRooms(realtime.RoomMembers{Room: a.Room, Members: a.Members}, realtime.RoomMembers{Room: b.Room, Members: b.Members})
	})
	return out[:min(n, len(out))]
}

// Connections implements httpapi.Realtime.
func (r *realtimeSide) Connections(ctx context.Context, q httpapi.RealtimeQuery) ([]httpapi.RealtimeConnection, []httpapi.RealtimeMute, error) {
	answers := askAll(ctx, r, http.MethodGet, realtimePath+"connections?"+queryOf(q).Encode(), nil,
		func(ctx context.Context) ([]httpapi.RealtimeConnection, error) { return r.oldest(ctx, q) })
	items, mute := []httpapi.RealtimeConnection{}, []httpapi.RealtimeMute{}
	for _, a := range answers {
		if a.mute != "" {
			mute = append(mute, httpapi.RealtimeMute{Worker: a.worker.Name, Hostname: a.worker.Hostname, Reason: a.mute})
			continue
		}
		items = append(items, a.said...)
	}
	slices.SortFunc(items, func(a, b httpapi.RealtimeConnection) int {
		return compareAge(a.Since.UnixNano(), a.SID, b.Since.UnixNano(), b.SID)
	})
	return items[:min(len(items), q.Limit+1)], mute, nil
}

func queryOf(q httpapi.RealtimeQuery) url.Values {
	v := url.Values{"room": {q.Room}, "limit": {strconv.Itoa(q.Limit)}}
	if q.AfterSID != "" {
		v.Set("since", strconv.FormatInt(q.Since.UnixNano(), 10))
		v.Set("sid", q.AfterSID)
	}
	return v
}

func parseQuery(v url.Values) httpapi.RealtimeQuery {
	limit, _ := strconv.Atoi(v.Get("limit")) // one of ours wrote it
	since, _ := strconv.ParseInt(v.Get("since"), 10, 64)
	return httpapi.RealtimeQuery{Room: v.Get("room"), Limit: limit, Since: time.Unix(0, since), AfterSID: v.Get("sid")}
}

// Connection implements httpapi.Realtime.
func (r *realtimeSide) Connection(ctx context.Context, sid string) (httpapi.RealtimeConnection, error) {
	return r.atOwner(ctx, http.MethodGet, connectionPath(sid), nil, sid,
		func(ctx context.Context) (httpapi.RealtimeConnection, error) { return r.show(ctx, sid) })
}

// Disconnect implements httpapi.Realtime.
func (r *realtimeSide) Disconnect(ctx context.Context, sid string, reconnect bool) error {
	body := []byte(strconv.FormatBool(reconnect))
	_, err := r.atOwner(ctx, http.MethodPost, connectionPath(sid)+"/disconnect", body, sid,
		func(context.Context) (httpapi.RealtimeConnection, error) {
			return httpapi.RealtimeConnection{SID: sid}, r.end(sid, reconnect)
		})
	return err
}

func connectionPath(sid string) string { return realtimePath + "connections/" + url.PathEscape(sid) }

// atOwner asks all workers for what only the connection's own one can answer.
func (r *realtimeSide) atOwner(ctx context.Context, method, path string, body []byte, sid string,
	own func(ctx context.Context) (httpapi.RealtimeConnection, error),
) (httpapi.RealtimeConnection, error) {
	var mute []string
	for _, a := range askAll(ctx, r, method, path, body, own) {
		switch {
		case a.mute == "" && a.said.SID == sid:
			return a.said, nil
		case a.status != http.StatusNotFound:
			mute = append(mute, a.worker.Name+": "+a.mute)
		}
	}
	if len(mute) > 0 {
		return httpapi.RealtimeConnection{}, errs.Ef(errs.Unavailable, "realtime.workers_mute",
			"No worker that answered has this connection, but some did not answer (%s). Try again.", strings.Join(mute, "; "))
	}
	_, err := r.own(sid)
	if err == nil { // it has come this very moment
		err = errs.E(errs.NotFound, "realtime.connection_not_found", "There is no connection with this sid; it may have ended.")
	}
	return httpapi.RealtimeConnection{}, err
}

func (r *realtimeSide) show(ctx context.Context, sid string) (httpapi.RealtimeConnection, error) {
	a, err := r.own(sid)
	if err != nil {
		return httpapi.RealtimeConnection{}, err
	}
	views, err := r.view(ctx, []*attached{a}, shownStreams)
	if err != nil {
		return httpapi.RealtimeConnection{}, err
	}
	return views[0], nil
}

// mountPrivate serves the others' questions.
func (r *realtimeSide) mountPrivate(mux *http.ServeMux) {
	mux.HandleFunc("GET "+realtimePath+"status", func(w http.ResponseWriter, req *http.Request) {
		tell(w, req, func(ctx context.Context) (any, error) { return r.report(ctx, req.URL.Query().Get("room")) })
	})
	mux.HandleFunc("GET "+realtimePath+"connections", func(w http.ResponseWriter, req *http.Request) {
		tell(w, req, func(ctx context.Context) (any, error) { return r.oldest(ctx, parseQuery(req.URL.Query())) })
	})
	mux.HandleFunc("GET "+realtimePath+"connections/{sid}", func(w http.ResponseWriter, req *http.Request) {
		tell(w, req, func(ctx context.Context) (any, error) { return r.show(ctx, req.PathValue("sid")) })
	})
	mux.HandleFunc("POST "+realtimePath+"connections/{sid}/disconnect", func(w http.ResponseWriter, req *http.Request) {
		tell(w, req, func(context.Context) (any, error) {
			var reconnect bool
			if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxOrder)).Decode(&reconnect); err != nil {
				return nil, err
			}
			sid := req.PathValue("sid")
			return httpapi.RealtimeConnection{SID: sid}, r.end(sid, reconnect)
		})
	})
}

const maxOrder = 64

// tell answers another worker.
func tell(w http.ResponseWriter, req *http.Request, f func(ctx context.Context) (any, error)) {
	ctx, cancel := context.WithTimeout(req.Context(), lookTimeout)
	defer cancel()
	answer, err := f(ctx)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(raw) // who asked may be gone
}
