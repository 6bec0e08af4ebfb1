package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/tracing"
)

// Sizes of bodies.
const (
	maxBody      = 1 << 20
	maxGraphBody = 8 << 20
	maxInputBody = 4 << 20
)

// bodyTimeout is how long a body may take to arrive. The deadline stays on the
// connection while the operation runs and would cancel it, so this is longer than
// any operation may take.
const bodyTimeout = time.Minute

// route is an operation in the making: what every operation declares.
type route struct {
	method, path string // path below the API prefix
	id, summary  string
	tag          string
	permission   auth.Permission
	audit        bool
	idempotent   bool // takes Idempotency-Key
	body         int64
	status       int
}

// The members of an operation's metadata, also in the document as x- members.
const (
	metaPermission = "permission"
	metaAudit      = "audit"
	metaIdempotent = "idempotent"
	metaMaxBody    = "max_body"
)

func (s *server) operation(r route) huma.Operation {
	if r.body == 0 {
		r.body = maxBody
	}
	op := huma.Operation{
		OperationID: r.id, Method: r.method, Path: s.deps.APIPrefix + r.path, Summary: r.summary, Tags: []string{r.tag},
		DefaultStatus: r.status, MaxBodyBytes: r.body, BodyReadTimeout: bodyTimeout,
		Metadata: map[string]any{metaPermission: r.permission, metaAudit: r.audit, metaIdempotent: r.idempotent, metaMaxBody: r.body},
		Extensions: map[string]any{
			"x-permission": string(r.permission), "x-audit": r.audit, "x-idempotent": r.idempotent, "x-max-body": r.body,
		},
		Errors: []int{http.StatusUnprocessableEntity, http.StatusInternalServerError},
	}
	if r.permission == auth.Executor {
		op.Security = []map[string][]string{{"attempt": {}}}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusConflict)
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: podHeader, In: "header", Required: true, Schema: &huma.Schema{Type: huma.TypeString},
			Description: "Which pod asks: an id that no other pod has",
		})
	} else if r.permission != auth.Open {
		op.Security = []map[string][]string{{"apiKey": {}}, {"session": {}}}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
	}
	return op
}

// handle registers an operation.
func handle[I, O any](s *server, r route, f func(ctx context.Context, in *I) (*O, error)) {
	huma.Register(s.api, s.operation(r), f)
}

// observe is the middleware that measures.
func (s *server) observe(ctx huma.Context, next func(huma.Context)) {
	op := ctx.Operation()
	tracing.Route(ctx.Context(), op.Method, op.Path)
	if s.deps.Observe == nil {
		next(ctx)
		return
	}
	began := s.deps.Now()
	next(ctx)
	s.deps.Observe(op.Method, op.Path, ctx.Status(), s.deps.Now().Sub(began))
}

// authenticate is the middleware of every operation: it finds out who asks and
// whether they may.
func (s *server) authenticate(ctx huma.Context, next func(huma.Context)) {
	need, declared := ctx.Operation().Metadata[metaPermission].(auth.Permission)
	if !declared {
		_ = huma.WriteErr(s.api, ctx, http.StatusForbidden, "operation without a permission")
		return
	}
	if need == auth.Open {
		next(ctx)
		return
	}
	if need == auth.Executor {
		s.authenticateExecutor(ctx, next)
		return
	}
	r, _ := humaUnwrap(ctx)
	p, err := s.deps.Auth.Authenticate(ctx.Context(), r)
	if err != nil {
		_ = huma.WriteErr(s.api, ctx, http.StatusInternalServerError, "", err) // unless the error says 401
		return
	}
	if !p.May(need) {
		_ = huma.WriteErr(s.api, ctx, http.StatusForbidden, "", errs.Ef(errs.Forbidden, "auth.forbidden",
			"Your role %s may not do this; it needs the permission %q. Ask an administrator.", p.Role, need))
		return
	}
	next(huma.WithContext(ctx, auth.WithPrincipal(ctx.Context(), p)))
}

func user(ctx context.Context) auth.Principal {
	p, _ := auth.From(ctx)
	return p
}

// PageInput is the query of a list.
type PageInput struct {
	Limit  int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many items at most"`
	Cursor string `query:"cursor" maxLength:"100" doc:"next_cursor of the page before"`
}

// before reads the cursor: the id before which the page begins, 0 for the first.
func (p PageInput) before() (int64, error) {
	if p.Cursor == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(p.Cursor, "b"), 36, 64)
	if err != nil || !strings.HasPrefix(p.Cursor, "b") || id <= 0 {
		return 0, errs.E(errs.Invalid, "request.invalid_cursor", "The cursor is not one that a list gave.",
			errs.Detail{Location: "query.cursor", Message: "use next_cursor of the page before"})
	}
	return id, nil
}

// page is a list's answer.
type page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

type pageOutput[T any] struct{ Body page[T] }

// paged cuts a list that was asked for one more row than the page has.
func paged[R, T any](rows []R, limit int32, id func(R) int64, view func(R) T) *pageOutput[T] {
	out := &pageOutput[T]{Body: page[T]{Items: make([]T, 0, len(rows))}}
	for i, r := range rows {
		if int32(i) == limit {
			cursor := "b" + strconv.FormatInt(id(rows[i-1]), 36)
			out.Body.NextCursor = &cursor
			break
		}
		out.Body.Items = append(out.Body.Items, view(r))
	}
	return out
}

// etag names a revision.
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// ifMatch reads an If-Match header: the revision that the client saw, 0 for none.
func ifMatch(header string) (int64, error) {
	header = strings.TrimPrefix(strings.TrimSpace(header), "W/")
	if header == "" || header == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(header, `"`), 10, 64)
	if err != nil || n <= 0 {
		return 0, errs.E(errs.Precondition, "request.if_match", "The If-Match header is not an ETag that this resource gave.")
	}
	return n, nil
}
