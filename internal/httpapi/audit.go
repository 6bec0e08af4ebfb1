package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/postgres"
)

// audit notes what the request's principal did, as part of the transaction.
func (s *server) audit(ctx context.Context, tx *postgres.Tx, action, kind string, id int64) error {
	return auth.Audit(ctx, tx, auth.AuditEntry{
		UserID: user(ctx).UserID, Action: action, EntityKind: kind, EntityID: strconv.FormatInt(id, 10),
	})
}

// change runs f and notes it in one transaction.
func change[T any](ctx context.Context, s *server, action, kind string, id int64, f func(ctx context.Context, tx *postgres.Tx) (T, error)) (T, error) {
	var out T
	err := s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		if out, err = f(ctx, tx); err != nil {
			return err
		}
		return s.audit(ctx, tx, action, kind, id)
	})
	return out, err
}

// drop is change for what answers nothing.
func drop(ctx context.Context, s *server, action, kind string, id int64, f func(ctx context.Context, tx *postgres.Tx) error) (*struct{}, error) {
	return change(ctx, s, action, kind, id, func(ctx context.Context, tx *postgres.Tx) (*struct{}, error) {
		return nil, f(ctx, tx)
	})
}

type auditView struct {
	ID         int64           `json:"id"`
	UserID     *int64          `json:"user_id"`
	Email      string          `json:"email"`
	Action     string          `json:"action"`
	EntityKind string          `json:"entity_kind"`
	EntityID   string          `json:"entity_id"`
	RequestID  string          `json:"request_id"`
	Detail     json.RawMessage `json:"detail"`
	At         time.Time       `json:"at"`
}

type listAuditInput struct {
	PageInput
	Action     string `query:"action" maxLength:"100" doc:"For example provider.updated"`
	EntityKind string `query:"entity_kind" maxLength:"100"`
	UserID     int64  `query:"user_id" minimum:"0"`
}

func viewAudit(a auth.AuditItem) auditView {
	return auditView{
		ID: a.ID, UserID: a.AppUserID, Email: a.Email, Action: a.Action, EntityKind: a.EntityKind, EntityID: a.EntityID,
		RequestID: a.RequestID, Detail: a.Detail, At: a.At,
	}
}

func (s *server) registerAudit() {
	handle(s, route{
		method: http.MethodGet, path: "/audit-events", id: "list-audit-events", tag: "operations", permission: auth.Manage,
		summary: "Who did what, newest first",
	}, func(ctx context.Context, in *listAuditInput) (*pageOutput[auditView], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		rows, err := s.deps.Auth.ListAudit(ctx, auth.AuditFilter{
			Action: in.Action, EntityKind: in.EntityKind, UserID: in.UserID, BeforeID: before, Limit: in.Limit + 1,
		})
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(a auth.AuditItem) int64 { return a.ID }, viewAudit), nil
	})
}
