package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/llmctl/studio/internal/auth/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

type requestKey struct{}

// WithRequestID puts the id of a request into its context, for the audit entries
// that it causes.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

func (s *Service) audit(ctx context.Context, tx *postgres.Tx, user int64, action, kind string, id int64) error {
	return Audit(ctx, tx, AuditEntry{UserID: user, Action: action, EntityKind: kind, EntityID: strconv.FormatInt(id, 10)})
}

// AuditEntry is what somebody did.
type AuditEntry struct {
	UserID     int64 // 0: nobody in particular
	Action     string
	EntityKind string
	EntityID   string
	RequestID  string // empty: that of the context
	Detail     map[string]any
}

// Audit writes an entry as part of the transaction that it is about.
func Audit(ctx context.Context, tx *postgres.Tx, e AuditEntry) error {
	if e.RequestID == "" {
		e.RequestID = requestID(ctx)
	}
	p := dbsqlc.InsertAuditParams{Action: e.Action, EntityKind: e.EntityKind, EntityID: e.EntityID, RequestID: e.RequestID}
	if e.UserID != 0 {
		p.AppUserID = &e.UserID
	}
	if e.Detail != nil {
		raw, err := json.Marshal(e.Detail)
		if err != nil {
			return fmt.Errorf("encode audit detail: %w", err)
		}
		p.Detail = raw
	}
	if err := dbsqlc.New().InsertAudit(ctx, tx, p); err != nil {
		return fmt.Errorf("write audit entry: %w", err)
	}
	return nil
}

// AuditItem is an entry in a list, with the address of who did it.
type AuditItem = dbsqlc.ListAuditRow

// AuditFilter selects entries; zero values select all.
type AuditFilter struct {
	Action, EntityKind string
	UserID, BeforeID   int64
	Limit              int32
}

// ListAudit gives entries, newest first.
func (s *Service) ListAudit(ctx context.Context, f AuditFilter) ([]AuditItem, error) {
	rows, err := s.q.ListAudit(ctx, s.db, dbsqlc.ListAuditParams{
		BeforeID: f.BeforeID, Action: f.Action, EntityKind: f.EntityKind, UserID: f.UserID, MaxRows: f.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list audit entries: %w", err)
	}
	return rows, nil
}
