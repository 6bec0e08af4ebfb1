package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/mcp/servers/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

// integration is another system that can be configured.
type integration struct {
	key, name string
	plain     []string // members that are shown
	secret    []string // members that are not
	needs     []string // members without which it counts as not configured
}

// integrations lists them.
func integrations() []integration {
	return []integration{
		{key: "github", name: "GitHub", plain: []string{"api_url"}, secret: []string{"pat"}, needs: []string{"pat"}},
		{key: "jira", name: "Jira", plain: []string{"url", "email"}, secret: []string{"api_token"}, needs: []string{"url", "email", "api_token"}},
		{key: "confluence", name: "Confluence", plain: []string{"url", "email"}, secret: []string{"api_token"}, needs: []string{"url", "email", "api_token"}},
		{key: "chroma", name: "Chroma", plain: []string{"host", "port", "ssl"}, needs: []string{"host", "port"}},
		{key: "google_cloud", name: "Google Cloud", plain: []string{"project_id"}, secret: []string{"service_account_json"}, needs: []string{"service_account_json"}},
		{key: "google_workspace", name: "Google Workspace", plain: []string{"impersonate_user"}, secret: []string{"service_account_json"}, needs: []string{"service_account_json"}},
	}
}

// IntegrationKeys lists the integrations that there can be.
func IntegrationKeys() []string {
	var out []string
	for _, i := range integrations() {
		out = append(out, i.key)
	}
	return out
}

// Integration is what may be shown of one.
type Integration struct {
	Key        string
	Name       string
	Configured bool
	Missing    []string // what it would need to be configured
	Config     map[string]string
	Accepted   []string // the members that can be set
	Secrets    []Shown
	Revision   int64
	UpdatedAt  *time.Time
}

// Integrations shows all of them.
func (r *Registry) Integrations(ctx context.Context) ([]Integration, error) {
	return r.integrationsIn(ctx, r.o.DB)
}

func (r *Registry) integrationsIn(ctx context.Context, q postgres.Querier) ([]Integration, error) {
	rows, err := r.q.ListIntegrations(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list integrations: %w", err)
	}
	stored := map[string]dbsqlc.Integration{}
	for _, row := range rows {
		stored[row.Key] = row
	}
	out := make([]Integration, 0, len(integrations()))
	for _, d := range integrations() {
		out = append(out, d.show(stored[d.key]))
	}
	return out, nil
}

func (d integration) show(row dbsqlc.Integration) Integration {
	v := Integration{Key: d.key, Name: d.name, Config: map[string]string{}, Secrets: []Shown{}, Missing: []string{}, Revision: max(row.Revision, 1)}
	v.Accepted = append(slices.Clone(d.plain), d.secret...)
	if row.Key != "" {
		_ = json.Unmarshal(row.Config, &v.Config)   // we wrote both
		_ = json.Unmarshal(row.Secrets, &v.Secrets) //
		v.UpdatedAt = &row.UpdatedAt
	}
	for _, need := range d.needs {
		if v.Config[need] == "" && !slices.ContainsFunc(v.Secrets, func(s Shown) bool { return s.Name == need }) {
			v.Missing = append(v.Missing, need)
		}
	}
	v.Configured = len(v.Missing) == 0
	return v
}

// SetIntegration changes members of an integration, nil or "" removes one, and
// makes the integrated servers follow. Errors: not_found, invalid, precondition.
func (r *Registry) SetIntegration(ctx context.Context, tx *postgres.Tx, key string, revision int64, members map[string]*string) (Integration, error) {
	i := slices.IndexFunc(integrations(), func(d integration) bool { return d.key == key })
	if i < 0 {
		return Integration{}, errs.Ef(errs.NotFound, "integration.not_found", "There is no integration %q. Known are %s.", clip(key), strings.Join(IntegrationKeys(), ", "))
	}
	d := integrations()[i]
	if err := d.check(members); err != nil {
		return Integration{}, err
	}
	row, err := r.q.LockIntegration(ctx, tx, key)
	if err != nil && !postgres.NotFound(err) {
		return Integration{}, fmt.Errorf("lock integration %s: %w", key, err)
	}
	if revision != 0 && revision != max(row.Revision, 1) {
		return Integration{}, errs.E(errs.Precondition, "integration.stale", "Somebody changed this integration in the meantime. Load it again.")
	}
	if err := r.saveIntegration(ctx, tx, d, row, members); err != nil {
		return Integration{}, err
	}
	if err := r.Sync(ctx, tx); err != nil {
		return Integration{}, err
	}
	all, err := r.integrationsIn(ctx, tx)
	if err != nil {
		return Integration{}, err
	}
	return all[i], nil
}

func (r *Registry) saveIntegration(ctx context.Context, tx *postgres.Tx, d integration, row dbsqlc.Integration, members map[string]*string) error {
	before := d.show(row)
	held := map[string]string{}
	if err := unseal(r.o.Seal, row.Ciphertext, "integration:"+d.key, &held); err != nil && !allSet(d.secret, members) {
		return errs.Ef(errs.Precondition, "integration.unreadable_secrets",
			"The secrets of %s cannot be read with this installation's secret key. Enter all of them again.", d.name).With(err)
	}
	for name, value := range members {
		into := before.Config
		if slices.Contains(d.secret, name) {
			into = held
		}
		if value == nil || *value == "" {
			delete(into, name)
		} else {
			into[name] = *value
		}
	}
	p := dbsqlc.SaveIntegrationParams{Key: d.key}
	var err error
	if p.Config, err = json.Marshal(before.Config); err != nil {
		return fmt.Errorf("encode integration: %w", err)
	}
	if p.Secrets, err = json.Marshal(r.shownOf(before.Secrets, held, members)); err != nil {
		return fmt.Errorf("encode integration: %w", err)
	}
	if len(held) > 0 {
		if p.Ciphertext, err = seal(r.o.Seal, held, "integration:"+d.key); err != nil {
			return err
		}
	}
	if err := r.q.SaveIntegration(ctx, tx, p); err != nil {
		return fmt.Errorf("store integration %s: %w", d.key, err)
	}
	return nil
}

func (r *Registry) shownOf(before []Shown, held map[string]string, members map[string]*string) []Shown {
	out := []Shown{}
	for _, name := range slices.Sorted(maps.Keys(held)) {
		at := r.o.Now()
		i := slices.IndexFunc(before, func(s Shown) bool { return s.Name == name })
		if _, changed := members[name]; !changed && i >= 0 {
			at = before[i].SetAt
		}
		out = append(out, Shown{Kind: "secret", Name: name, Fingerprint: r.o.Fingerprint(held[name]), SetAt: at})
	}
	return out
}

func allSet(names []string, members map[string]*string) bool {
	for _, n := range names {
		if v := members[n]; v == nil || *v == "" {
			return false
		}
	}
	return true
}

// check looks at the members of a change.
func (d integration) check(members map[string]*string) error {
	var f faults
	accepted := append(slices.Clone(d.plain), d.secret...)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		at, v := "body."+clip(name), ""
		if members[name] != nil {
			v = *members[name]
		}
		switch {
		case !slices.Contains(accepted, name):
			f.add(at, "is not known; accepted are %s", strings.Join(accepted, ", "))
		case len(v) > 64<<10 || strings.ContainsRune(v, 0):
			f.add(at, "must have at most 64 KiB and no NUL")
		case v == "":
		case name == "service_account_json":
			checkServiceAccount(v, at, &f)
		case name == "url" || name == "api_url":
			if !strings.HasPrefix(v, "https://") && !strings.HasPrefix(v, "http://") {
				f.add(at, "is %q; accepted is an http:// or https:// address", clip(v))
			}
		case name == "port":
			var port int
			if _, err := fmt.Sscanf(v, "%d", &port); err != nil || port < 1 || port > 65535 {
				f.add(at, "is %q; accepted is a port from 1 to 65535", clip(v))
			}
		case name == "ssl" && v != "true" && v != "false":
			f.add(at, "is %q; accepted are true and false", clip(v))
		}
	}
	return f.err("The integration's settings cannot be used.")
}

func checkServiceAccount(v, at string, f *faults) {
	var account struct {
		Type  string `json:"type"`
		Email string `json:"client_email"`
		Key   string `json:"private_key"`
	}
	if err := json.Unmarshal([]byte(v), &account); err != nil {
		f.add(at, "is not the JSON of a service account's key file")
		return
	}
	if account.Type != "service_account" || account.Email == "" || account.Key == "" {
		f.add(at, "must have type service_account, client_email and private_key, as the key file that Google gives has")
	}
}
