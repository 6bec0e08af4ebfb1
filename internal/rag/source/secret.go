package source

import (
	"context"
	"fmt"
	"strconv"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/source/dbsqlc"
)

func binding(id int64) []byte { return []byte("rag_source:" + strconv.FormatInt(id, 10)) }

// setSecret seals a source's secret; a kind of "" removes it.
func (s *Service) setSecret(ctx context.Context, tx *postgres.Tx, id int64, kind, value string) error {
	p := dbsqlc.SetCredentialParams{ID: id, Kind: kind}
	if kind != "" {
		sealed, err := s.o.Seal.Seal([]byte(value), binding(id))
		if err != nil {
			return fmt.Errorf("seal secret of source %d: %w", id, err)
		}
		p.Ciphertext, p.Fingerprint = sealed, s.o.Fingerprint(value)
	}
	if _, err := s.q.SetCredential(ctx, tx, p); err != nil {
		return fmt.Errorf("store secret of source %d: %w", id, err)
	}
	return nil
}

// secret opens a source's secret; "": it has none.
func (s *Service) secret(r *Row) (string, error) {
	if r.CredentialKind == "" {
		return "", nil
	}
	plain, err := s.o.Seal.Open(r.CredentialCiphertext, binding(r.ID))
	if err != nil {
		return "", errs.Ef(errs.Precondition, "rag.source_unreadable_secret",
			"The %s of source %q cannot be read with this installation's secret key: it was stored with another one. Enter it again.", credentialName(r.CredentialKind), r.Name).With(err)
	}
	return string(plain), nil
}

// credentialName names a kind of secrets for people.
func credentialName(kind string) string {
	switch kind {
	case CredentialSSHKey:
		return "SSH key"
	case CredentialAccount:
		return "service account"
	}
	return "token"
}
