package auth

import (
	"context"
	"fmt"
	"slices"

	"github.com/llmctl/studio/internal/auth/dbsqlc"
)

// Credential names a key or a session without its secret. It is what a connection
// keeps that lives longer than the request which opened it.
type Credential struct {
	Via string // ViaSession or ViaKey
	ID  int64
}

// Credential is what the principal came with.
func (p Principal) Credential() Credential { return Credential{Via: p.Via, ID: p.CredentialID} }

// InForce asks the database, in one query, which of the credentials are in force and
// whose they are by now. One that is missing in the answer was revoked, has ended, or
// belongs to an account that is disabled or gone.
func (s *Service) InForce(ctx context.Context, asked []Credential) (map[Credential]Principal, error) {
	p := dbsqlc.CredentialsInForceParams{Keys: []int64{}, Sessions: []int64{}}
	for _, c := range asked {
		switch c.Via {
		case ViaKey:
			p.Keys = append(p.Keys, c.ID)
		case ViaSession:
			p.Sessions = append(p.Sessions, c.ID)
		}
	}
	slices.Sort(p.Keys)
	slices.Sort(p.Sessions)
	rows, err := s.q.CredentialsInForce(ctx, s.db, p)
	if err != nil {
		return nil, fmt.Errorf("check credentials in use: %w", err)
	}
	out := make(map[Credential]Principal, len(rows))
	for _, r := range rows {
		found := Principal{UserID: r.UserID, Email: r.Email, Role: Role(r.Role), Via: r.Via, CredentialID: r.CredentialID}
		out[found.Credential()] = found
	}
	return out, nil
}
