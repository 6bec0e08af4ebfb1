package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/mcp/servers/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

// Server is a row; what is secret in it is sealed.
type Server = dbsqlc.McpServer

// The types of servers.
const (
	Custom     = "custom"
	Integrated = "integrated"
)

// When calls of a server's tools wait for a person.
const (
	ApproveNever  = "never"
	ApproveWrites = "writes" // unless the tool says that it only reads
	ApproveAlways = "always"
)

// maxServers bounds how many there may be.
const maxServers = 500

const defaultTimeout = 60.0

// Options wire a Registry.
type Options struct {
	DB          *postgres.DB
	Log         *event.Log
	Seal        Sealer
	Fingerprint func(string) string
	// Client speaks to authorization servers; it refuses private addresses as the
	// connections to MCP servers do.
	Client *http.Client
	// PublicBaseURL is where integrated servers are, if not at their services.
	PublicBaseURL string
	// Own gives the address of the Studio's own server where it is mounted in the API of
	// this process; "" and nil: it is at its service.
	Own func() string
	Now func() time.Time
}

// Registry keeps the servers.
type Registry struct {
	o Options
	q *dbsqlc.Queries
}

// New makes a registry.
func New(o Options) *Registry { return &Registry{o: o, q: dbsqlc.New()} }

// Fields are what can be set of a server.
type Fields struct {
	Key            string
	Name           string
	Transport      string
	Config         Config
	Enabled        bool
	TimeoutSeconds float64
	AllowedTools   []string // nil: all
	Approval       string
	ApprovalTools  []string
	OAuthClientID  string
}

// List gives servers, newest first.
func (r *Registry) List(ctx context.Context, before int64, limit int32) ([]Server, error) {
	return r.q.ListServers(ctx, r.o.DB, dbsqlc.ListServersParams{BeforeID: before, MaxRows: limit})
}

// Get gives one server.
func (r *Registry) Get(ctx context.Context, id int64) (Server, error) {
	s, err := r.q.GetServer(ctx, r.o.DB, id)
	if postgres.NotFound(err) {
		return s, notFound(id)
	}
	return s, err
}

func notFound(id int64) error {
	return errs.Ef(errs.NotFound, "mcp_server.not_found", "There is no MCP server %d.", id)
}

func (f *Fields) check() error {
	var bad faults
	if !keyPattern.MatchString(f.Key) {
		bad.add("body.server_key", "is %q; accepted are 1 to 64 letters, digits, _ and -", clip(f.Key))
	}
	if f.TimeoutSeconds <= 0 || f.TimeoutSeconds > maxTimeout {
		bad.add("body.timeout_seconds", "is %g; accepted is more than 0 and at most %g", f.TimeoutSeconds, maxTimeout)
	}
	if !slices.Contains([]string{ApproveNever, ApproveWrites, ApproveAlways}, f.Approval) {
		bad.add("body.approval", "is %q; accepted are never, writes and always", clip(f.Approval))
	}
	checkTools(f.AllowedTools, "body.allowed_tools", &bad)
	checkTools(f.ApprovalTools, "body.approval_tools", &bad)
	return bad.err("The server's settings cannot be used.")
}

// Create stores a custom server. Errors: invalid; conflict when the key is taken.
func (r *Registry) Create(ctx context.Context, tx *postgres.Tx, f Fields, c Change) (Server, error) {
	if Reserved(f.Key) {
		return Server{}, errs.Ef(errs.Conflict, "mcp_server.reserved_key", "The key %q is reserved for a server that the Studio manages. Choose another key.", f.Key)
	}
	if n, err := r.q.CountServers(ctx, tx); err != nil || n >= maxServers {
		if err != nil {
			return Server{}, fmt.Errorf("count MCP servers: %w", err)
		}
		return Server{}, errs.Ef(errs.Conflict, "mcp_server.too_many", "There are %d MCP servers; that is the limit. Delete some first.", n)
	}
	return r.insert(ctx, tx, Custom, f, c, nil)
}

func (r *Registry) insert(ctx context.Context, tx *postgres.Tx, kind string, f Fields, c Change, integrations []string) (Server, error) {
	if err := f.check(); err != nil {
		return Server{}, err
	}
	raw, err := json.Marshal(f.Config)
	if err != nil {
		return Server{}, fmt.Errorf("encode config: %w", err)
	}
	s, err := r.q.InsertServer(ctx, tx, dbsqlc.InsertServerParams{
		Name: f.Name, ServerKey: f.Key, ServerType: kind, Transport: f.Transport, Config: raw, Enabled: f.Enabled, TimeoutSeconds: f.TimeoutSeconds,
		AllowedTools: f.AllowedTools, Approval: f.Approval, ApprovalTools: orEmpty(f.ApprovalTools), Integrations: orEmpty(integrations), OauthClientID: f.OAuthClientID,
	})
	if err != nil {
		return s, keyError(err, f.Key)
	}
	if s, err = r.setSecrets(ctx, tx, s, Secrets{}, c); err != nil {
		return s, err
	}
	return s, r.announce(tx, s.ID, "created")
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func keyError(err error, key string) error {
	if postgres.IsUnique(err, "mcp_server_key") {
		return errs.Ef(errs.Conflict, "mcp_server.duplicate_key", "There is an MCP server with the key %q already. Choose another key.", key).With(err)
	}
	return fmt.Errorf("store MCP server: %w", err)
}

// Updated is a changed server and what became of its secrets.
type Updated struct {
	Server         Server
	SecretsRemoved bool
}

// Update changes a server. Of an integrated one only enabled, time-out, tools and
// approval can be changed, and the headers of the Studio's own. Errors: not_found, invalid, conflict, precondition.
func (r *Registry) Update(ctx context.Context, tx *postgres.Tx, id, revision int64, change func(*Fields) error, c Change) (Updated, error) {
	old, err := r.lock(ctx, tx, id, revision)
	if err != nil {
		return Updated{}, err
	}
	f := fieldsOf(old)
	if err := change(&f); err != nil {
		return Updated{}, err
	}
	if err := f.check(); err != nil {
		return Updated{}, err
	}
	if old.ServerType == Integrated && (f.Key != old.ServerKey || f.Transport != old.Transport || f.Config.URL != configOf(old).URL || managed(old, c)) {
		return Updated{}, errs.E(errs.Conflict, "mcp_server.integrated",
			"The Studio manages this server: its key, address and headers follow from the integration's settings. Change those instead. Headers can only be set for "+ownKey+".")
	}
	if f.Key != old.ServerKey && Reserved(f.Key) {
		return Updated{}, errs.Ef(errs.Conflict, "mcp_server.reserved_key", "The key %q is reserved for a server that the Studio manages. Choose another key.", f.Key)
	}
	return r.store(ctx, tx, old, f, c)
}

// managed reports whether a change is about secrets of an integrated server that are not
// for people to set. The Studio's own server takes an API key, which only they can make.
func managed(old Server, c Change) bool {
	if old.ServerKey == ownKey {
		c.Headers = nil
	}
	return !c.empty()
}

func (r *Registry) lock(ctx context.Context, tx *postgres.Tx, id, revision int64) (Server, error) {
	old, err := r.q.LockServer(ctx, tx, id)
	if postgres.NotFound(err) {
		return old, notFound(id)
	}
	if err != nil {
		return old, fmt.Errorf("lock MCP server %d: %w", id, err)
	}
	if revision != 0 && old.Revision != revision {
		return old, errs.E(errs.Precondition, "mcp_server.stale", "Somebody changed this server in the meantime. Load it again.")
	}
	return old, nil
}

func (r *Registry) store(ctx context.Context, tx *postgres.Tx, old Server, f Fields, c Change) (Updated, error) {
	raw, err := json.Marshal(f.Config)
	if err != nil {
		return Updated{}, fmt.Errorf("encode config: %w", err)
	}
	s, err := r.q.UpdateServer(ctx, tx, dbsqlc.UpdateServerParams{
		ID: old.ID, Name: f.Name, ServerKey: f.Key, Transport: f.Transport, Config: raw, Enabled: f.Enabled, TimeoutSeconds: f.TimeoutSeconds,
		AllowedTools: f.AllowedTools, Approval: f.Approval, ApprovalTools: orEmpty(f.ApprovalTools), OauthClientID: f.OAuthClientID,
		Integrations: orEmpty(old.Integrations),
	})
	if err != nil {
		return Updated{}, keyError(err, f.Key)
	}
	out := Updated{Server: s}
	kept := Secrets{}
	if homeOf(old.Transport, configOf(old)) == homeOf(f.Transport, f.Config) {
		if kept, err = r.Secrets(old); err != nil && c.empty() {
			return out, err
		}
	} else {
		out.SecretsRemoved = old.SecretsCiphertext != nil || old.OauthCiphertext != nil
		if s, err = r.q.SetOAuth(ctx, tx, dbsqlc.SetOAuthParams{ID: s.ID}); err != nil {
			return out, fmt.Errorf("forget authorization of MCP server %d: %w", s.ID, err)
		}
	}
	if !c.empty() || out.SecretsRemoved {
		if s, err = r.setSecrets(ctx, tx, s, kept, c); err != nil {
			return out, err
		}
	}
	out.Server = s
	return out, r.announce(tx, s.ID, "updated")
}

// homeOf is what secrets were entered for: an origin, or a program.
func homeOf(transport string, c Config) string {
	if transport == Stdio {
		return "program " + c.Command
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return c.URL
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

func fieldsOf(s Server) Fields {
	return Fields{
		Key: s.ServerKey, Name: s.Name, Transport: s.Transport, Config: configOf(s), Enabled: s.Enabled, TimeoutSeconds: s.TimeoutSeconds,
		AllowedTools: s.AllowedTools, Approval: s.Approval, ApprovalTools: s.ApprovalTools, OAuthClientID: s.OauthClientID,
	}
}

// ConfigOf reads how a server is reached.
func ConfigOf(s Server) Config { return configOf(s) }

func configOf(s Server) Config {
	var c Config
	_ = json.Unmarshal(s.Config, &c) // we wrote it
	return c
}

// ShownOf tells what may be shown of a server's secrets.
func ShownOf(s Server) []Shown {
	out := []Shown{}
	_ = json.Unmarshal(s.Secrets, &out) // we wrote it
	return out
}

// Secrets opens a server's headers and environment.
func (r *Registry) Secrets(s Server) (Secrets, error) {
	var out Secrets
	if err := unseal(r.o.Seal, s.SecretsCiphertext, binding(s.ID), &out); err != nil {
		return out, errs.Ef(errs.Precondition, "mcp_server.unreadable_secrets",
			"The secrets of MCP server %q cannot be read with this installation's secret key. Enter them again.", s.ServerKey).With(err)
	}
	return out, nil
}

func binding(id int64) string { return "mcp_server:" + strconv.FormatInt(id, 10) }

func (r *Registry) setSecrets(ctx context.Context, tx *postgres.Tx, s Server, to Secrets, c Change) (Server, error) {
	before := ShownOf(s)
	to.apply(c)
	if n := to.count(); n > maxSecrets {
		return s, errs.Ef(errs.Invalid, "mcp_server.secrets", "The server would have %d headers and variables; at most %d are accepted.", n, maxSecrets)
	}
	shown := to.shown(before, c, r.o.Fingerprint, r.o.Now())
	p := dbsqlc.SetSecretsParams{ID: s.ID}
	var err error
	if p.Secrets, err = json.Marshal(shown); err != nil {
		return s, fmt.Errorf("encode secrets: %w", err)
	}
	if len(shown) > 0 {
		if p.Ciphertext, err = seal(r.o.Seal, to, binding(s.ID)); err != nil {
			return s, err
		}
	}
	if s, err = r.q.SetSecrets(ctx, tx, p); err != nil {
		return s, fmt.Errorf("store secrets of MCP server: %w", err)
	}
	return s, nil
}

// Delete removes a custom server. What it was called for stays recorded. Errors:
// not_found; conflict for an integrated one.
func (r *Registry) Delete(ctx context.Context, tx *postgres.Tx, id int64) error {
	old, err := r.lock(ctx, tx, id, 0)
	if err != nil {
		return err
	}
	if old.ServerType == Integrated {
		return errs.E(errs.Conflict, "mcp_server.integrated", "The Studio manages this server. Disable it, or remove the integration's settings.")
	}
	if _, err := r.q.DeleteServer(ctx, tx, id); err != nil {
		return fmt.Errorf("delete MCP server %d: %w", id, err)
	}
	return r.announce(tx, id, "deleted")
}

// NoteTest keeps what the last test found. It is no change of the server.
func (r *Registry) NoteTest(ctx context.Context, id int64, found any) error {
	raw, err := json.Marshal(found)
	if err != nil {
		return fmt.Errorf("encode test: %w", err)
	}
	return r.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if err := r.q.SetLastTest(ctx, tx, dbsqlc.SetLastTestParams{ID: id, LastTest: raw}); err != nil {
			return fmt.Errorf("note test of MCP server %d: %w", id, err)
		}
		return r.announce(tx, id, "updated")
	})
}

func (r *Registry) announce(tx *postgres.Tx, id int64, change string) error {
	text := strconv.FormatInt(id, 10)
	return r.o.Log.Append(tx, event.Draft{
		Stream: "config:mcp_server:" + text, Type: "config:mcp_server:" + change, EntityKind: "mcp_server", EntityID: text,
		Rooms: []string{"studio"}, Payload: map[string]any{"mcp_server_id": id},
	})
}

// NewFields are the fields of a server that was entered, with what is not said
// left at its default.
func NewFields(e Entered) Fields {
	f := Fields{Key: e.Key, Name: e.Key, Enabled: true, TimeoutSeconds: defaultTimeout, Approval: ApproveNever}
	e.Into(&f)
	return f
}

// Into sets what was entered.
func (e *Entered) Into(f *Fields) {
	f.Transport, f.Config = e.Transport, e.Config
	if e.TimeoutSeconds != nil {
		f.TimeoutSeconds = *e.TimeoutSeconds
	}
	if e.AllowedTools != nil {
		f.AllowedTools = *e.AllowedTools
	}
	if e.Enabled != nil {
		f.Enabled = *e.Enabled
	}
}

// Secrets are the secrets that were entered with it.
func (e *Entered) Secrets() Change { return Change{Headers: values(e.Headers), Env: values(e.Env)} }
