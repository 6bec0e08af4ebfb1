package kind_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/inline"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/node/kind"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bench struct {
	e  *inline.Executor
	mu sync.Mutex
	ev []executor.Event
}

func setup(t *testing.T, o kind.Options) *bench {
	t.Helper()
	o.LLMClient = llm.NewClient(llm.ClientOptions{})
	t.Cleanup(o.LLMClient.CloseIdleConnections)
	h, err := kind.Handlers(o)
	require.NoError(t, err)
	return &bench{e: inline.New(kind.Runner(h), inline.Options{})}
}

func (b *bench) run(ctx context.Context, p executor.Payload) executor.Result {
	p.ContractVersion, p.NodeRunID, p.Attempt = executor.Version, 1, 1
	return b.e.Execute(ctx, p, func(ev executor.Event) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ev = append(b.ev, ev)
		return nil
	})
}

func (b *bench) config(t *testing.T, kind string, config map[string]any) executor.Result {
	t.Helper()
	return b.run(t.Context(), executor.Payload{Kind: kind, Config: encode(t, config)})
}

func encode(t *testing.T, v any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return data
}

func output(t *testing.T, r executor.Result) map[string]any {
	t.Helper()
	var out map[string]any
	require.NoError(t, json.Unmarshal(r.OutputState, &out), "%+v", r)
	return out
}

func (b *bench) stages() string {
	var out []string
	for _, e := range b.ev {
		if e.Type == executor.EventStage {
			out = append(out, e.Stage+":"+e.Status)
		}
	}
	return strings.Join(out, " ")
}

func taskPayload(t *testing.T, s *llmtest.Server, config map[string]any) executor.Payload {
	t.Helper()
	return executor.Payload{
		Kind: kind.Task, Config: encode(t, config), Secrets: map[string]string{"api_key": "sk-task-key-123456"},
		Model: &executor.Model{ID: 1, Name: "Small", ProviderKind: "openai", ProviderName: "Acme", BaseURL: s.OpenAIURL(), Model: "scripted-model", Config: encode(t, map[string]any{"temperature": 0.5, "max_tokens": 9})},
	}
}

func TestTaskStreamsAndReportsItsStages(t *testing.T) {
	t.Parallel()
	s, b := llmtest.New(t), setup(t, kind.Options{})
	s.On("harbour", llmtest.Reply{Chunks: []string{"Ships ", "came."}, Input: 7, Output: 2})
	res := b.run(t.Context(), taskPayload(t, s, map[string]any{"prompt": "harbour?", "system": "short", "params": map[string]any{"max_tokens": 50}}))
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
	require.JSONEq(t, `{"text":"Ships came.","finish_reason":"stop","usage":{"input_tokens":7,"output_tokens":2}}`, string(res.OutputState))
	require.Equal(t, &executor.Usage{InputTokens: 7, OutputTokens: 2}, res.Usage)
	require.Equal(t, "integration:started integration:finished pre_init:started pre_init:finished init:started init:finished "+
		"post_init:started post_init:finished llm_query:started llm_query:finished post_run:started post_run:finished", b.stages())
	var text strings.Builder
	usage := 0
	for _, e := range b.ev {
		if e.Type == executor.EventDelta {
			text.WriteString(e.Text)
		}
		if e.Type == executor.EventUsage {
			usage++
		}
		require.NotContains(t, string(encode(t, e)), "sk-task-key", "the key is in no event")
	}
	require.Equal(t, "Ships came.", text.String())
	require.Equal(t, 1, usage)
	body := string(s.Next(t).Body)
	require.Contains(t, body, `"temperature":0.5`, "from the model")
	require.Contains(t, body, `"max_tokens":50`, "the node's own wins")
}

func TestSettingsOfAModelOrNodeCannotRedirectItsKey(t *testing.T) {
	t.Parallel()
	s, elsewhere, b := llmtest.New(t), httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked with %v", r.URL, r.Header)
		w.WriteHeader(http.StatusTeapot)
	})), setup(t, kind.Options{})
	t.Cleanup(elsewhere.Close)
	s.On("harbour", llmtest.Reply{Chunks: []string{"yes"}, Input: 1, Output: 1})
	redirect := map[string]any{}
	for _, name := range []string{"base_url", "baseURL", "BaseURL", "api_base", "endpoint", "url", "host", "proxy", "extra_headers", "http_options"} {
		redirect[name] = elsewhere.URL
	}
	for _, providerKind := range []string{"openai", "anthropic", "gemini"} {
		p := taskPayload(t, s, map[string]any{"prompt": "harbour?", "params": redirect, "base_url": elsewhere.URL})
		p.Model.Config, p.Model.ProviderKind = encode(t, redirect), providerKind
		p.Model.BaseURL = s.BaseURL(providerKind)
		res := b.run(t.Context(), p)
		require.Equal(t, executor.Succeeded, res.Status, "%s: %+v", providerKind, res.Error)
		require.NotContains(t, string(s.Next(t).Body), elsewhere.URL, providerKind)
	}
}

func TestTaskValidatesStructuredAnswers(t *testing.T) {
	t.Parallel()
	schema := map[string]any{"type": "object", "properties": map[string]any{"n": map[string]any{"type": "integer"}}, "required": []string{"n"}, "additionalProperties": false}
	for name, c := range map[string]struct {
		reply llmtest.Reply
		code  string
	}{
		"plain":  {llmtest.Reply{Chunks: []string{`{"n":`, ` 3}`}}, ""},
		"fenced": {llmtest.Reply{Text: "```json\n{\"n\": 3}\n```"}, ""},
		"prose":  {llmtest.Reply{Text: "Sure! n is 3."}, "invalid_output"},
		"wrong":  {llmtest.Reply{Text: `{"n": "three"}`}, "invalid_output"},
		"cut":    {llmtest.Reply{Text: `{"n": 3`, Finish: "length"}, "invalid_output"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b := llmtest.New(t), setup(t, kind.Options{})
			s.On("", c.reply)
			res := b.run(t.Context(), taskPayload(t, s, map[string]any{"prompt": "n?", "output_schema": schema}))
			require.Contains(t, string(s.Next(t).Body), "json_schema")
			if c.code == "" {
				require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
				require.Equal(t, map[string]any{"n": 3.0}, output(t, res)["json"])
				return
			}
			require.Equal(t, c.code, res.Error.Code, res.Error.Message)
			require.True(t, res.Error.Retryable)
			require.NotNil(t, res.Usage, "what was used is reported")
			require.Contains(t, b.stages(), "post_run:failed")
		})
	}
}

func TestTaskFailures(t *testing.T) {
	t.Parallel()
	s := llmtest.New(t)
	s.On("rate", llmtest.Reply{Status: 429, RetryAfter: "9", ErrorMessage: "slow"})
	for name, c := range map[string]struct {
		config map[string]any
		code   string
	}{
		"empty":      {map[string]any{"prompt": "  "}, "invalid_config"},
		"tools":      {map[string]any{"prompt": "x", "tools": []string{"current_time"}}, "not_available"},
		"mcp":        {map[string]any{"prompt": "x", "mcp_server_ids": []int{1}}, "not_available"},
		"schema":     {map[string]any{"prompt": "x", "output_schema": map[string]any{"type": 7}}, "invalid_config"},
		"schema ref": {map[string]any{"prompt": "x", "output_schema": map[string]any{"$ref": "file:///etc/passwd"}}, "invalid_config"},
		"rate":       {map[string]any{"prompt": "rate"}, "llm_rate_limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, kind.Options{})
			res := b.run(t.Context(), taskPayload(t, s, c.config))
			require.Equal(t, executor.Failed, res.Status)
			require.Equal(t, c.code, res.Error.Code, res.Error.Message)
			require.Equal(t, name == "rate", res.Error.Retryable)
			if name == "rate" {
				require.EqualValues(t, 9, res.Error.Details["retry_after_seconds"])
			}
		})
	}
}

func TestCancellingATaskClosesTheProvidersConnection(t *testing.T) {
	t.Parallel()
	s, b := llmtest.New(t), setup(t, kind.Options{})
	s.On("", llmtest.Reply{Chunks: []string{"a", "b"}, Hang: true, HangAt: 1})
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan executor.Result, 1)
	p := taskPayload(t, s, map[string]any{"prompt": "x"})
	go func() { done <- b.run(ctx, p) }()
	req := s.Next(t)
	start := time.Now()
	cancel(executor.ErrCancelled)
	select {
	case <-req.ClientGone():
	case <-time.After(5 * time.Second):
		t.Fatal("the connection stayed open")
	}
	require.Less(t, time.Since(start), time.Second)
	require.Equal(t, executor.Cancelled, (<-done).Status)
}

func site(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		w.Header().Set("X-Answer", "yes")
		_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "body": string(body), "token": r.Header.Get("X-Token"), "type": r.Header.Get("Content-Type")})
	})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		codes := map[string]int{"404": 404, "429": 429, "503": 503, "201": 201}
		w.WriteHeader(codes[r.PathValue("code")])
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 5<<20)) })
	mux.HandleFunc("/binary", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0xfe, 0}) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("u"), http.StatusFound)
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestHTTPRequests(t *testing.T) {
	t.Parallel()
	s := site(t)
	b := setup(t, kind.Options{HTTPAllow: []string{"127.0.0.0/8"}})
	res := b.config(t, kind.HTTP, map[string]any{"method": "post", "url": s.URL + "/echo", "headers": map[string]string{"X-Token": "t"}, "body": map[string]any{"a": 1}})
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
	out := output(t, res)
	require.EqualValues(t, 200, out["status"])
	require.Equal(t, "yes", out["headers"].(map[string]any)["x-answer"])
	require.Equal(t, map[string]any{"method": "POST", "body": `{"a":1}`, "token": "t", "type": "application/json"}, out["json"])
	require.Contains(t, out["body"], `"method"`)

	for path, want := range map[string]struct {
		expect    any
		code      string
		retryable bool
	}{
		"/status/404": {nil, "http_status", false}, "/status/429": {nil, "http_status", true}, "/status/503": {nil, "http_status", true},
		"/status/201": {200, "http_status", false}, "/big": {nil, "too_large", false}, "/loop": {nil, "network", false},
	} {
		res := b.config(t, kind.HTTP, map[string]any{"url": s.URL + path, "expect_status": want.expect})
		require.Equal(t, executor.Failed, res.Status, path)
		require.Equal(t, want.code, res.Error.Code, path)
		require.Equal(t, want.retryable, res.Error.Retryable, path)
	}
	for path, expect := range map[string]any{"/status/404": 404, "/status/503": "5xx", "/status/201": []any{200, "201"}, "/binary": nil} {
		res := b.config(t, kind.HTTP, map[string]any{"url": s.URL + path, "expect_status": expect})
		require.Equal(t, executor.Succeeded, res.Status, "%s %+v", path, res.Error)
		if path == "/binary" {
			require.Equal(t, "//4A", output(t, res)["body_base64"])
		}
	}
	for _, bad := range []map[string]any{{"url": "ftp://x/"}, {"url": ""}, {"url": s.URL, "method": "G T"}, {"url": s.URL, "headers": map[string]string{"A b": "c"}}, {"url": s.URL, "headers": map[string]string{"A": "c\r\nB: d"}}, {"url": s.URL, "expect_status": "many"}} {
		require.Equal(t, "invalid_config", b.config(t, kind.HTTP, bad).Error.Code, "%v", bad)
	}
	res = b.config(t, kind.HTTP, map[string]any{"url": s.URL + "/echo", "method": "POST", "body": strings.Repeat("x", 5<<20)})
	require.Equal(t, "too_large", res.Error.Code)
	res = b.config(t, kind.HTTP, map[string]any{"url": s.URL + "/hang", "timeout_seconds": 0.2})
	require.Equal(t, "timeout", res.Error.Code)
	require.True(t, res.Error.Retryable)
}

func TestHTTPNodesReachOnlyWhatTheyMay(t *testing.T) {
	t.Parallel()
	s := site(t)
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	strict := setup(t, kind.Options{})
	for _, target := range []string{
		s.URL, "http://localhost" + port, "http://[::1]" + port, "http://0.0.0.0" + port, "http://[::ffff:127.0.0.1]" + port,
		"http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://[fd00::1]/", "http://[64:ff9b::7f00:1]/", "http://100.64.0.1/", "http://[2002:7f00:1::]/",
	} {
		res := strict.config(t, kind.HTTP, map[string]any{"url": target + "/echo"})
		require.Equal(t, "blocked_address", res.Error.Code, "%s: %s", target, res.Error.Message)
	}
	byName := setup(t, kind.Options{HTTPAllow: []string{"localhost" + port}})
	require.Equal(t, executor.Succeeded, byName.config(t, kind.HTTP, map[string]any{"url": "http://localhost" + port + "/echo"}).Status)
	res := byName.config(t, kind.HTTP, map[string]any{"url": "http://localhost" + port + "/to?u=" + url.QueryEscape(s.URL+"/echo")})
	require.Equal(t, "blocked_address", res.Error.Code, "redirects are checked too")

	both := setup(t, kind.Options{HTTPAllow: []string{"localhost", "127.0.0.1"}})
	res = both.config(t, kind.HTTP, map[string]any{"url": "http://localhost" + port + "/to?u=" + url.QueryEscape(s.URL+"/echo"), "headers": map[string]string{"X-Token": "mine"}})
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
	require.Empty(t, output(t, res)["json"].(map[string]any)["token"], "headers do not follow to another origin")

	for _, bad := range []string{"10.0.0.0/99", "http://x y", "a*b"} {
		_, err := kind.Handlers(kind.Options{HTTPAllow: []string{bad}})
		require.Error(t, err, bad)
	}
}

func TestAPayloadOfItsOwnSaysWhatHTTPNodesMayReach(t *testing.T) {
	t.Parallel()
	s := site(t)
	b := &bench{e: inline.New(kind.PayloadRunner(kind.Options{}), inline.Options{})}
	ask := func(allow ...string) executor.Result {
		return b.run(t.Context(), executor.Payload{
			Kind: kind.HTTP, Config: encode(t, map[string]any{"url": s.URL + "/echo"}), Limits: executor.Limits{HTTPAllow: allow},
		})
	}
	require.Equal(t, executor.Succeeded, ask("127.0.0.0/8").Status)
	require.Equal(t, "blocked_address", ask("10.0.0.0/8").Error.Code)
	require.Equal(t, "blocked_address", ask().Error.Code)
	bad := ask("10.0.0.0/99")
	require.Equal(t, executor.CodeConfig, bad.Error.Code)
	require.Contains(t, bad.Error.Message, "10.0.0.0/99")

	known := setup(t, kind.Options{})
	res := known.run(t.Context(), executor.Payload{
		Kind: kind.HTTP, Config: encode(t, map[string]any{"url": s.URL + "/echo"}), Limits: executor.Limits{HTTPAllow: []string{"127.0.0.0/8"}},
	})
	require.Equal(t, "blocked_address", res.Error.Code, "where the settings are known, no payload widens them")
}

func TestScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := setup(t, kind.Options{ScriptNodes: true, Workspace: dir})
	res := b.config(t, kind.Script, map[string]any{"command": []string{"cat"}, "stdin": `{"a": [1, 2]}`})
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
	require.Equal(t, map[string]any{"a": []any{1.0, 2.0}}, output(t, res)["json"])

	res = b.config(t, kind.Script, map[string]any{"script": `echo "$MINE $HOME"; echo why >&2; exit 3`, "env": map[string]string{"MINE": "m", "WORKSPACE_PATH": "/lie"}})
	require.Equal(t, "exit_status", res.Error.Code)
	require.Contains(t, res.Error.Message, "why")
	require.EqualValues(t, 3, res.Error.Details["exit_code"])
	require.Equal(t, "m "+dir+"\n", output(t, res)["stdout"])

	res = b.config(t, kind.Script, map[string]any{"script": `head -c 1500000 /dev/zero | tr '\0' x; printf '\377\0' >&2`})
	require.Equal(t, executor.Succeeded, res.Status, "%+v", res.Error)
	out := output(t, res)
	require.Len(t, out["stdout"], 1<<20)
	require.EqualValues(t, 1500000-1<<20, out["stdout_dropped_bytes"])
	require.Equal(t, "\uFFFD\uFFFD", out["stderr"])
	said := false
	for _, e := range b.ev {
		require.LessOrEqual(t, len(e.Text), 64<<10)
		said = said || strings.Contains(e.Text, "451424 more bytes on stdout were not kept")
	}
	require.True(t, said)

	for _, bad := range []map[string]any{{}, {"command": []string{"no-such-command"}}, {"command": []string{"ls"}, "script": "ls"}, {"script": "ls", "env": map[string]string{"A=B": "c"}}} {
		require.Equal(t, "invalid_config", b.config(t, kind.Script, bad).Error.Code, "%v", bad)
	}
}

func TestScriptsNeedPermissionAndAWorkspace(t *testing.T) {
	t.Parallel()
	config := map[string]any{"script": "true"}
	off := setup(t, kind.Options{Workspace: t.TempDir()})
	require.Equal(t, "scripts_disabled", off.config(t, kind.Script, config).Error.Code)
	homeless := setup(t, kind.Options{ScriptNodes: true})
	require.Equal(t, "not_isolated", homeless.config(t, kind.Script, config).Error.Code)
	require.True(t, kind.NeedsProcess(kind.Script))
	require.False(t, kind.NeedsProcess(kind.Task))
	require.Equal(t, executor.CodeKind, off.config(t, "plan", config).Error.Code)
}

func TestCancellingAScriptEndsItsGroup(t *testing.T) {
	t.Parallel()
	b := setup(t, kind.Options{ScriptNodes: true, Workspace: t.TempDir()})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, executor.ErrTimeout)
	defer cancel()
	start := time.Now()
	res := b.run(ctx, executor.Payload{Kind: kind.Script, Config: encode(t, map[string]any{"script": `trap "" TERM; sleep 600 & echo started; wait; wait; sleep 600`}), Limits: executor.Limits{GraceSeconds: 0.3}})
	require.Equal(t, executor.TimedOut, res.Status)
	require.Less(t, time.Since(start), 8*time.Second)
	require.Equal(t, "started\n", output(t, res)["stdout"], "what it said is kept")
}
