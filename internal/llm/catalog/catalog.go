// Package catalog keeps the providers and models that people set up. Keys are
// sealed before they are stored and leave the package only to make a call.
package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/llm/catalog/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

// Provider is a row; the key in it is sealed.
type Provider = dbsqlc.Provider

// Model is a row.
type Model = dbsqlc.Model

// ModelItem is a model with its provider's name and kind.
type ModelItem = dbsqlc.ListModelsRow

// Sealer encrypts and decrypts; the associated data binds a secret to its row.
type Sealer interface {
	Seal(plaintext, associatedData []byte) ([]byte, error)
	Open(ciphertext, associatedData []byte) ([]byte, error)
}

// Catalog keeps providers and models.
type Catalog struct {
	db          *postgres.DB
	log         *event.Log
	seal        Sealer
	fingerprint func(secret string) string
	q           *dbsqlc.Queries
}

// New makes a catalog. fingerprint gives what may be shown of a key.
func New(db *postgres.DB, log *event.Log, seal Sealer, fingerprint func(string) string) *Catalog {
	return &Catalog{db: db, log: log, seal: seal, fingerprint: fingerprint, q: dbsqlc.New()}
}

// ProviderFields are what can be set of a provider. A nil APIKey keeps the key,
// an empty one removes it.
type ProviderFields struct {
	Name    string
	Kind    string // set once
	BaseURL string
	APIKey  *string
}

func binding(providerID int64) []byte { return []byte("provider:" + strconv.FormatInt(providerID, 10)) }

// ListProviders gives providers, newest first.
func (c *Catalog) ListProviders(ctx context.Context, before int64, limit int32) ([]Provider, error) {
	return c.q.ListProviders(ctx, c.db, dbsqlc.ListProvidersParams{BeforeID: before, MaxRows: limit})
}

// GetProvider gives one provider.
func (c *Catalog) GetProvider(ctx context.Context, id int64) (Provider, error) {
	p, err := c.q.GetProvider(ctx, c.db, id)
	if postgres.NotFound(err) {
		return p, noProvider(id)
	}
	return p, err
}

// CreateProvider stores a provider and seals its key.
func (c *Catalog) CreateProvider(ctx context.Context, tx *postgres.Tx, f ProviderFields) (Provider, error) {
	p, err := c.q.InsertProvider(ctx, tx, dbsqlc.InsertProviderParams{Name: f.Name, Kind: f.Kind, BaseUrl: f.BaseURL})
	if err != nil {
		return p, named(err, "provider_name", "provider", f.Name)
	}
	if p, err = c.setKey(ctx, tx, p, f.APIKey); err != nil {
		return p, err
	}
	return p, c.announce(tx, "provider", p.ID, "created")
}

// UpdateProvider changes a provider. A stored key belongs to the origin that it was
// entered for: if base_url moves to another one and no new key comes along, the
// key is removed, so that nobody can have it sent to a server of theirs. Errors:
// not_found, conflict when the name is taken, precondition when it is not at
// revision any more.
func (c *Catalog) UpdateProvider(ctx context.Context, tx *postgres.Tx, id, revision int64, change func(*ProviderFields)) (ProviderUpdate, error) {
	var none ProviderUpdate
	old, err := c.q.LockProvider(ctx, tx, id)
	if postgres.NotFound(err) {
		return none, noProvider(id)
	}
	if err != nil {
		return none, fmt.Errorf("lock provider %d: %w", id, err)
	}
	if revision != 0 && old.Revision != revision {
		return none, errs.E(errs.Precondition, "provider.stale", "Somebody changed this provider in the meantime. Load it again.")
	}
	f := ProviderFields{Name: old.Name, Kind: old.Kind, BaseURL: old.BaseUrl}
	change(&f)
	var out ProviderUpdate
	if from, to := origin(old.BaseUrl), origin(f.BaseURL); from != to {
		out.MovedFrom, out.MovedTo = from, to
		if f.APIKey == nil && old.ApiKeyCiphertext != nil {
			out.KeyRemoved, f.APIKey = true, new(string)
		}
	}
	p, err := c.q.UpdateProvider(ctx, tx, dbsqlc.UpdateProviderParams{ID: id, Name: f.Name, BaseUrl: f.BaseURL})
	if err != nil {
		return none, named(err, "provider_name", "provider", f.Name)
	}
	if out.Provider, err = c.setKey(ctx, tx, p, f.APIKey); err != nil {
		return none, err
	}
	return out, c.announce(tx, "provider", id, "updated")
}

func noProvider(id int64) error {
	return errs.Ef(errs.NotFound, "provider.not_found", "There is no provider %d.", id)
}

func noModel(id int64) error {
	return errs.Ef(errs.NotFound, "model.not_found", "There is no model %d.", id)
}

func (c *Catalog) setKey(ctx context.Context, tx *postgres.Tx, p Provider, key *string) (Provider, error) {
	if key == nil {
		return p, nil
	}
	params := dbsqlc.SetProviderKeyParams{ID: p.ID}
	if *key != "" {
		sealed, err := c.seal.Seal([]byte(*key), binding(p.ID))
		if err != nil {
			return p, fmt.Errorf("seal key of provider %d: %w", p.ID, err)
		}
		params.Ciphertext, params.Fingerprint = sealed, c.fingerprint(*key)
	}
	p, err := c.q.SetProviderKey(ctx, tx, params)
	if err != nil {
		return p, fmt.Errorf("store key of provider %d: %w", p.ID, err)
	}
	return p, nil
}

// DeleteProvider removes a provider that no model uses. Errors: not_found, conflict
// when one does.
func (c *Catalog) DeleteProvider(ctx context.Context, tx *postgres.Tx, id int64) error {
	n, err := c.q.DeleteProvider(ctx, tx, id)
	if postgres.IsForeignKey(err) {
		return errs.E(errs.Conflict, "provider.in_use", "Models use this provider. Delete them first.").With(err)
	}
	if err != nil {
		return fmt.Errorf("delete provider %d: %w", id, err)
	}
	if n == 0 {
		return noProvider(id)
	}
	return c.announce(tx, "provider", id, "deleted")
}

// Key opens a provider's key; "" if it has none.
func (c *Catalog) Key(p Provider) (string, error) {
	if p.ApiKeyCiphertext == nil {
		return "", nil
	}
	plain, err := c.seal.Open(p.ApiKeyCiphertext, binding(p.ID))
	if err != nil {
		return "", errs.Ef(errs.Precondition, "provider.unreadable_key",
			"The key of provider %q cannot be read with this installation's secret key. Enter it again under Models.", p.Name).With(err)
	}
	return string(plain), nil
}

// ModelFields are what can be set of a model.
type ModelFields struct {
	Name       string
	ProviderID int64
	Model      string
	Config     json.RawMessage
}

// ListModels gives models, newest first.
func (c *Catalog) ListModels(ctx context.Context, before int64, limit int32) ([]ModelItem, error) {
	return c.q.ListModels(ctx, c.db, dbsqlc.ListModelsParams{BeforeID: before, MaxRows: limit})
}

// GetModel gives a model and its provider.
func (c *Catalog) GetModel(ctx context.Context, id int64) (Model, Provider, error) {
	return c.GetModelIn(ctx, c.db, id)
}

// GetModelIn is GetModel as a transaction sees it.
func (c *Catalog) GetModelIn(ctx context.Context, q postgres.Querier, id int64) (Model, Provider, error) {
	row, err := c.q.GetModel(ctx, q, id)
	if postgres.NotFound(err) {
		return row.Model, row.Provider, noModel(id)
	}
	return row.Model, row.Provider, err
}

// Embeds reports by its config that a model makes vectors and answers nobody.
func Embeds(config json.RawMessage) bool {
	var c struct {
		Purpose string `json:"purpose"`
	}
	return json.Unmarshal(config, &c) == nil && c.Purpose == "embedding"
}

// CreateModel stores a model. Errors: invalid, conflict when the name is taken.
func (c *Catalog) CreateModel(ctx context.Context, tx *postgres.Tx, f ModelFields) (Model, error) {
	if err := checkConfig(f.Config); err != nil {
		return Model{}, err
	}
	m, err := c.q.InsertModel(ctx, tx, dbsqlc.InsertModelParams{Name: f.Name, ProviderID: f.ProviderID, Model: f.Model, Config: orEmpty(f.Config)})
	if err != nil {
		return m, c.modelError(err, f)
	}
	return m, c.announce(tx, "model", m.ID, "created")
}

// UpdateModel changes a model. Errors: not_found, invalid for an unknown provider,
// conflict when the name is taken, precondition when it is not at revision any more.
func (c *Catalog) UpdateModel(ctx context.Context, tx *postgres.Tx, id, revision int64, change func(*ModelFields)) (Model, error) {
	old, err := c.q.LockModel(ctx, tx, id)
	if postgres.NotFound(err) {
		return old, noModel(id)
	}
	if err != nil {
		return old, fmt.Errorf("lock model %d: %w", id, err)
	}
	if revision != 0 && old.Revision != revision {
		return old, errs.E(errs.Precondition, "model.stale", "Somebody changed this model in the meantime. Load it again.")
	}
	f := ModelFields{Name: old.Name, ProviderID: old.ProviderID, Model: old.Model, Config: old.Config}
	change(&f)
	if err := checkConfig(f.Config); err != nil {
		return old, err
	}
	m, err := c.q.UpdateModel(ctx, tx, dbsqlc.UpdateModelParams{ID: id, Name: f.Name, ProviderID: f.ProviderID, Model: f.Model, Config: orEmpty(f.Config)})
	if err != nil {
		return m, c.modelError(err, f)
	}
	return m, c.announce(tx, "model", id, "updated")
}

// DeleteModel removes a model. Flowcharts that name it are found invalid when
// they run next. Errors: not_found.
func (c *Catalog) DeleteModel(ctx context.Context, tx *postgres.Tx, id int64) error {
	n, err := c.q.DeleteModel(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("delete model %d: %w", id, err)
	}
	if n == 0 {
		return noModel(id)
	}
	return c.announce(tx, "model", id, "deleted")
}

func (c *Catalog) modelError(err error, f ModelFields) error {
	if postgres.IsForeignKey(err) {
		return errs.E(errs.Invalid, "model.unknown_provider", "The model's provider does not exist.",
			errs.Detail{Location: "body.provider_id", Message: fmt.Sprintf("is %d, which is not a provider", f.ProviderID)}).With(err)
	}
	return named(err, "model_name", "model", f.Name)
}

func named(err error, index, what, name string) error {
	if postgres.IsUnique(err, index) {
		return errs.Ef(errs.Conflict, what+".duplicate_name", "There is a %s named %q already. Choose another name.", what, name).With(err)
	}
	return fmt.Errorf("store %s: %w", what, err)
}

func orEmpty(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return json.RawMessage("{}")
	}
	return raw
}

func (c *Catalog) announce(tx *postgres.Tx, entity string, id int64, change string) error {
	text := strconv.FormatInt(id, 10)
	return c.log.Append(tx, event.Draft{
		Stream: "config:" + entity + ":" + text, Type: "config:" + entity + ":" + change, EntityKind: entity, EntityID: text,
		Rooms: []string{"studio"}, Payload: map[string]any{entity + "_id": id},
	})
}
