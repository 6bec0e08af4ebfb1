package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/run"
)

// ledger is a run engine that keeps one attempt in memory.
type ledger struct {
	n       run.NodeRun
	a       run.Attempt
	text    string
	res     run.Result
	uploads map[string]run.Upload
}

func newLedger() *ledger {
	return &ledger{n: run.NodeRun{ID: 7, Kind: "task"}, a: run.Attempt{NodeRunID: 7, Number: 2, Stages: json.RawMessage("[]"), ClaimedAt: time.Unix(100, 0)}}
}

func (l *ledger) Report(_ context.Context, _ run.Reporter, b run.Batch) (run.Reported, error) {
	if b.Last > l.a.EventN {
		r, err := b.Apply(&l.n, &l.a)
		if err != nil {
			return run.Reported{}, err
		}
		l.a.EventN, l.a.TextOffset, l.a.Stages = r.EventN, r.TextOffset, r.Stages
		if r.CurrentStage != nil {
			l.n.CurrentStage = r.CurrentStage
		}
		for _, d := range r.Drafts {
			p, ok := d.Payload.(chunkPayload)
			if ok && strings.HasSuffix(d.Type, ":delta") {
				if p.Offset != int64(len([]rune(l.text))) {
					return run.Reported{}, fmt.Errorf("offset %d after %d characters", p.Offset, len([]rune(l.text)))
				}
				l.text += p.Text
			}
		}
	}
	return run.Reported{AcceptedN: l.a.EventN}, nil
}

func (l *ledger) ReportEnd(ctx context.Context, who run.Reporter, b run.Batch, res run.Result, settle func(*run.NodeRun, *run.Attempt, *run.Result)) (run.Reported, error) {
	out, err := l.Report(ctx, who, b)
	settle(&l.n, &l.a, &res)
	l.res = res
	return out, err
}

func (l *ledger) Uploads(context.Context, run.Reporter) (map[string]run.Upload, error) {
	return l.uploads, nil
}

func (l *ledger) take(t *testing.T, lines ...string) (run.Reported, error) {
	t.Helper()
	events, err := DecodeEvents([]byte(strings.Join(lines, "\n")))
	if err != nil {
		return run.Reported{}, err
	}
	return NewIngest(l, nil, func() time.Time { return time.Unix(200, 0) }).Take(t.Context(), run.Reporter{}, events)
}

const startedLine = `{"v":"v1","n":1,"ts":"2020-01-01T00:00:00Z","type":"started"}`

func line(n int, rest string) string {
	return fmt.Sprintf(`{"v":"v1","n":%d,"ts":"2099-01-01T00:00:00Z",%s}`, n, rest)
}

func TestBatchesGoOnWhereTheLastOneEnded(t *testing.T) {
	t.Parallel()
	l := newLedger()
	_, err := l.take(t, startedLine, line(2, `"type":"stage","stage":"init","status":"started"`), line(3, `"type":"delta","text":"grüß "`))
	require.NoError(t, err)
	// Partly stored before: the answer was lost, and more came meanwhile.
	out, err := l.take(t, line(3, `"type":"delta","text":"grüß "`), line(4, `"type":"delta","text":"🙂"`), line(5, `"type":"log","stage":"init","text":"a line"`))
	require.NoError(t, err)
	require.EqualValues(t, 5, out.AcceptedN)
	_, err = l.take(t, line(6, `"type":"stage","stage":"llm_query","status":"started"`), line(7, `"type":"delta","text":"!"`),
		line(8, `"type":"result","result":{"status":"succeeded","output_state":{"x":1}}`))
	require.NoError(t, err)
	require.Equal(t, "grüß 🙂!", l.text)
	require.Equal(t, run.Succeeded, l.res.Status)
	require.Equal(t, "llm_query", *l.res.CurrentStage)
	var stages []Stage
	require.NoError(t, json.Unmarshal(l.res.Stages, &stages))
	require.Len(t, stages, 2)
	require.Equal(t, 1, stages[0].LogLines)
	require.Equal(t, run.Succeeded, stages[1].Status, "what ran is closed with the attempt")
	require.Equal(t, time.Unix(200, 0).UTC(), stages[1].StartedAt.UTC(), "a pod's clock is not believed beyond ours")
}

func TestWhatIsNoBatchIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"not JSON":              {[]string{"{"}, "not an event"},
		"another version":       {[]string{`{"v":"v2","n":1,"type":"started"}`}, `v is "v2"`},
		"no number":             {[]string{`{"v":"v1","type":"log"}`}, "n is 0"},
		"a start in the middle": {[]string{startedLine, line(2, `"type":"started"`)}, "only that"},
		"no start":              {[]string{line(1, `"type":"log"`)}, "first event"},
		"a gap":                 {[]string{startedLine, line(3, `"type":"log"`)}, "n is 3 after 1"},
		"twice":                 {[]string{startedLine, startedLine}, "n is 1 after 1"},
		"an unknown type":       {[]string{line(2, `"type":"dance"`)}, `type is "dance"`},
		"an unknown stage":      {[]string{line(2, `"type":"stage","stage":"x","status":"started"`)}, `stage is "x"`},
		"an unknown log stage":  {[]string{line(2, `"type":"log","stage":"x"`)}, `stage is "x"`},
		"no result":             {[]string{line(2, `"type":"result"`)}, "result is missing"},
		"an unknown status":     {[]string{line(2, `"type":"result","result":{"status":"fine"}`)}, `status is "fine"`},
		"after the result":      {[]string{line(2, `"type":"result","result":{"status":"failed"}`), line(3, `"type":"log"`)}, "after the result"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newLedger().take(t, c.lines...)
			require.True(t, errs.HasReason(err, "executor.event"), "%v", err)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := DecodeEvents([]byte(strings.Repeat(line(2, `"type":"log"`)+"\n", 2)))
	require.Error(t, err)
	many := make([]string, 0, MaxBatchEvents+1)
	for i := range MaxBatchEvents + 1 {
		many = append(many, line(i+2, `"type":"usage"`))
	}
	_, err = DecodeEvents([]byte(strings.Join(many, "\n")))
	require.True(t, errs.HasReason(err, "executor.batch"))
}

func TestACancelledResultThatNobodyAskedForIsAFault(t *testing.T) {
	t.Parallel()
	end := line(2, `"type":"result","result":{"status":"cancelled"}`)
	l := newLedger()
	_, err := l.take(t, startedLine, end)
	require.NoError(t, err)
	require.Equal(t, run.Failed, l.res.Status)
	require.Equal(t, "infra", l.res.Error.Code)
	require.True(t, l.res.Error.Retryable)
	l = newLedger()
	now := time.Now()
	l.a.CancelRequestedAt = &now
	_, err = l.take(t, startedLine, end)
	require.NoError(t, err)
	require.Equal(t, run.Cancelled, l.res.Status)
}

func TestAResultRefersOnlyToWhatWasUploaded(t *testing.T) {
	t.Parallel()
	u := run.Upload{Name: "a", Size: 3, Blob: make([]byte, 32)}
	end := func(name, sha string, size int) string {
		return line(2, fmt.Sprintf(`"type":"result","result":{"status":"succeeded","artifacts":[{"name":%q,"sha256":%q,"size":%d}]}`, name, sha, size))
	}
	for name, c := range map[string]struct {
		line string
		ok   bool
	}{
		"uploaded":        {end("a", u.Blob.String(), 3), true},
		"another name":    {end("b", u.Blob.String(), 3), false},
		"another content": {end("a", strings.Repeat("1", 64), 3), false},
		"another size":    {end("a", u.Blob.String(), 4), false},
		"a path":          {end("../a", u.Blob.String(), 3), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger()
			l.uploads = map[string]run.Upload{"a": u}
			_, err := l.take(t, startedLine, c.line)
			require.NoError(t, err)
			if !c.ok {
				require.Equal(t, run.Failed, l.res.Status)
				require.Equal(t, executor.CodeArtifacts, l.res.Error.Code)
				require.Empty(t, l.res.Artifacts)
				return
			}
			require.Equal(t, &u, l.res.Artifacts[0].Stored)
		})
	}
}

// FuzzEvents: whatever comes as a body, what is taken is stored once, in order, and
// can be stored.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(startedLine + "\n" + line(2, `"type":"delta","text":"a\u0000b"`) + "\n" + line(3, `"type":"result","result":{"status":"failed","error":{"code":"x","message":"\u0000"}}`)))
	f.Add([]byte(startedLine + "\n" + line(2, `"type":"log","stage":"init","text":"x"`)))
	f.Add([]byte(line(5, `"type":"span","span":{"name":"x"}`)))
	f.Add([]byte("\n\n"))
	f.Add([]byte(`{"v":"v1","n":9223372036854775807,"type":"delta"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		events, err := DecodeEvents(raw)
		if err != nil {
			require.NotEqual(t, errs.Internal, errs.As(err).Code)
			return
		}
		l := newLedger()
		if len(events) > 0 {
			l.a.EventN = events[0].N - 1
		}
		in := NewIngest(l, nil, time.Now)
		first, err := in.Take(t.Context(), run.Reporter{}, events)
		require.NoError(t, err)
		text, stages := l.text, string(l.a.Stages)
		again, err := in.Take(t.Context(), run.Reporter{}, events)
		require.NoError(t, err)
		require.Equal(t, first, again)
		require.Equal(t, text, l.text)
		require.Equal(t, stages, string(l.a.Stages))
		require.NotContains(t, text, "\x00")
		if l.res.Error != nil {
			require.NotContains(t, l.res.Error.Message+l.res.Error.Code+string(l.res.Error.Details), "\x00")
			require.NotContains(t, string(l.res.Error.Details), `\u0000`)
		}
	})
}
