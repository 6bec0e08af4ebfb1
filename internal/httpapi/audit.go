package httpapi

import (
	"context"
	"strconv"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/postgres"
)

// audit notes what the request's principal did, as part of the transaction.
func (s *server) audit(ctx context.Context, tx *postgres.Tx, action, kind string, id int64) error {
	return auth.Audit(ctx, tx, auth.AuditEntry{
		UserID: user(ctx).UserID, Action: action, EntityKind: kind, EntityID: strconv.FormatInt(id, 10), RequestID: idsFrom(ctx).Request,
	})
}
