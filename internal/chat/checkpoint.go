package chat

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/postgres"
)

// checkpoint is where a turn stopped to wait. The attempt that goes on says again what
// was said, so that its text is whole by itself.
type checkpoint struct {
	State json.RawMessage `json:"state"` // the Answerer's own
	Text  string          `json:"text"`
	Parts []PlacedPart    `json:"parts"`
	Lead  []MessagePart   `json:"lead"`
}

func encodeCheckpoint(c checkpoint) (json.RawMessage, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	return raw, nil
}

func decodeCheckpoint(raw json.RawMessage) (checkpoint, error) {
	var c checkpoint
	if len(raw) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("read checkpoint: %w", err)
	}
	return c, nil
}

// keepState replaces the Answerer's part of a checkpoint.
func (s *Service) keepState(ctx context.Context, tx *postgres.Tx, t *Turn, state json.RawMessage) error {
	c, err := decodeCheckpoint(t.Checkpoint)
	if err != nil {
		return err
	}
	c.State = state
	raw, err := encodeCheckpoint(c)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE turn SET checkpoint = $2 WHERE id = $1`, t.ID, []byte(raw)); err != nil {
		return fmt.Errorf("store checkpoint of turn %d: %w", t.ID, err)
	}
	return nil
}
