package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/node"
	"github.com/llmctl/studio/internal/run"
)

// The executor's operations are for pods, not for people: each request carries the
// token of one attempt and says which pod it is.
const (
	executorPath = "/executor/v1"
	podHeader    = "X-Executor-Pod"
)

const (
	// largeBody is what a request may bring without waiting for one of the slots below.
	largeBody = 1 << 20
	// largeBodies is how many larger requests are worked at a time: each is in memory.
	largeBodies = 4
	// largeWait is how long one waits for its turn; then it is told to come again.
	largeWait = 20 * time.Second
)

// executorSide is what the executor's operations work with.
type executorSide struct {
	ingest *node.Ingest
	large  chan struct{}
}

type reportInput struct {
	RawBody []byte `contentType:"application/x-ndjson" doc:"Events of the executor protocol as JSON lines, numbered without a gap; none: only ask"`
}

type reportOutput struct {
	Body struct {
		AcceptedN int64 `json:"accepted_n" doc:"All events up to this one are stored for good"`
		Cancel    bool  `json:"cancel" doc:"Stop the work and report a cancelled result"`
	}
}

type uploadInput struct {
	Name      string `path:"name" maxLength:"512" doc:"A relative path; its slashes are escaped"`
	MediaType string `header:"Content-Type" maxLength:"200"`
	RawBody   []byte `contentType:"application/octet-stream"`
}

type uploadOutput struct {
	Body struct {
		Name   string `json:"name"`
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256" doc:"What the result refers to the file with"`
	}
}

func (s *server) registerExecutor() {
	s.executor = executorSide{ingest: node.NewIngest(s.deps.Engine, s.deps.Tracer, s.deps.Now), large: make(chan struct{}, largeBodies)}
	stream(s, executorRoute(http.MethodGet, "/payload", "get-executor-payload", "What the attempt is to work with"),
		"application/json", func(ctx context.Context, _ *struct{}) (outgoing, error) { return s.executorPayload(ctx) })
	events := executorRoute(http.MethodPost, "/events", "post-executor-events", "Report events; a 2xx means that they are stored for good")
	events.body = node.MaxBatchBytes
	handleRaw(s, events, s.executorEvents)
	upload := executorRoute(http.MethodPut, "/artifacts/{name}", "put-executor-artifact", "Send a file ahead of the result that refers to it")
	upload.body = executor.MaxArtifactBytes
	handleRaw(s, upload, s.executorUpload)
	stream(s, executorRoute(http.MethodGet, "/files/{id}", "get-executor-file", "The content of an artifact of the same run"),
		"application/octet-stream", func(ctx context.Context, in *IDInput) (outgoing, error) {
			a, content, err := s.deps.Engine.OpenArtifactOf(ctx, reporter(ctx), in.ID)
			return outgoing{content: content, mediaType: a.MediaType}, err
		})
}

// handleRaw registers an operation whose body is taken as it is, also when it is empty.
func handleRaw[I, O any](s *server, r route, f func(ctx context.Context, in *I) (*O, error)) {
	op := s.operation(r)
	op.RequestBody = &huma.RequestBody{}
	huma.Register(s.api, op, f)
	op.RequestBody.Required = false // which the library takes for granted
}

func executorRoute(method, path, id, summary string) route {
	return route{method: method, path: executorPath + path, id: id, tag: "executor", permission: auth.Executor, summary: summary}
}

type reporterKey struct{}

func reporter(ctx context.Context) run.Reporter {
	who, _ := ctx.Value(reporterKey{}).(run.Reporter)
	return who
}

// authenticateExecutor lets in who shows the token of an attempt. A user's key opens
// nothing here.
func (s *server) authenticateExecutor(ctx huma.Context, next func(huma.Context)) {
	token, ok := strings.CutPrefix(ctx.Header("Authorization"), "Bearer ")
	if !ok || token == "" {
		_ = huma.WriteErr(s.api, ctx, http.StatusUnauthorized, "", errs.E(errs.Unauthenticated, "auth.required",
			"This is for executors: send the token of the attempt as Authorization: Bearer."))
		return
	}
	sum := sha256.Sum256([]byte(token))
	repeats := strings.HasSuffix(ctx.Operation().Path, "/events") // its answer may have been lost
	who, err := s.deps.Engine.Reporter(ctx.Context(), sum[:], ctx.Header(podHeader), repeats)
	if err != nil {
		_ = huma.WriteErr(s.api, ctx, http.StatusInternalServerError, "", err)
		return
	}
	release, err := s.executor.admit(ctx)
	if err != nil {
		_ = huma.WriteErr(s.api, ctx, http.StatusServiceUnavailable, "", err)
		return
	}
	defer release()
	next(huma.WithContext(ctx, context.WithValue(ctx.Context(), reporterKey{}, who)))
}

// admit bounds how many large bodies are in memory.
func (x executorSide) admit(ctx huma.Context) (release func(), err error) {
	r, _ := humaUnwrap(ctx)
	if r.ContentLength >= 0 && r.ContentLength <= largeBody {
		return func() {}, nil
	}
	timer := time.NewTimer(largeWait)
	defer timer.Stop()
	select {
	case x.large <- struct{}{}:
		return func() { <-x.large }, nil
	case <-ctx.Context().Done():
	case <-timer.C:
	}
	return nil, errs.E(errs.Unavailable, "executor.busy", "Too many large requests are being worked on. Send it again.").Retry(time.Second)
}

func (s *server) executorPayload(ctx context.Context) (outgoing, error) {
	who := reporter(ctx)
	raw, err := s.deps.Engine.DispatchedPayload(ctx, who.NodeRunID, who.Attempt)
	if err != nil {
		return outgoing{}, err
	}
	if s.deps.Models != nil {
		p, err := node.WithSecrets(ctx, raw, s.deps.Models)
		if err != nil {
			return outgoing{}, err
		}
		if raw, err = json.Marshal(p); err != nil {
			return outgoing{}, err
		}
	}
	return outgoing{content: &blob.Content{Reader: bytes.NewReader(raw), Size: int64(len(raw))}, mediaType: "application/json"}, nil
}

func (s *server) executorEvents(ctx context.Context, in *reportInput) (*reportOutput, error) {
	events, err := node.DecodeEvents(in.RawBody)
	if err != nil {
		return nil, err
	}
	got, err := s.executor.ingest.Take(ctx, reporter(ctx), events)
	if err != nil {
		return nil, err
	}
	out := &reportOutput{}
	out.Body.AcceptedN, out.Body.Cancel = got.AcceptedN, got.Cancel
	return out, nil
}

func (s *server) executorUpload(ctx context.Context, in *uploadInput) (*uploadOutput, error) {
	if why := executor.CheckArtifactName(in.Name); why != "" {
		return nil, errs.E(errs.Invalid, "executor.artifact_name", why, errs.Detail{Location: "path.name", Message: "give a clean relative path"})
	}
	u, err := s.deps.Engine.KeepUpload(ctx, reporter(ctx), in.Name, executor.CleanText(in.MediaType), in.RawBody,
		run.UploadLimits{Files: executor.MaxArtifacts, Bytes: executor.MaxArtifactsBytes})
	if err != nil {
		return nil, err
	}
	out := &uploadOutput{}
	out.Body.Name, out.Body.Size, out.Body.SHA256 = u.Name, u.Size, u.Blob.String()
	return out, nil
}
