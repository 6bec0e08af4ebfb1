package servers

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Sealer encrypts and decrypts; the associated data binds a secret to its row.
type Sealer interface {
	Seal(plaintext, associatedData []byte) ([]byte, error)
	Open(ciphertext, associatedData []byte) ([]byte, error)
}

// The kinds of secrets.
const (
	KindHeader = "header"
	KindEnv    = "env"
	KindClient = "oauth_client_secret"
)

// Shown is what may be shown of a secret.
type Shown struct {
	Kind        string    `json:"kind"`
	Name        string    `json:"name"`
	Fingerprint string    `json:"fingerprint"`
	SetAt       time.Time `json:"set_at"`
}

// Secrets are the values; they are for making a connection only.
type Secrets struct { //nolint:recvcheck // a copy must not show its values either
	Headers map[string]string `json:"headers,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Client  string            `json:"client,omitempty"` // the OAuth client's secret
}

// String keeps values out of logs.
func (s Secrets) String() string {
	return fmt.Sprintf("%d headers, %d variables", len(s.Headers), len(s.Env))
}

// GoString is String for %#v.
func (s Secrets) GoString() string { return s.String() }

// Change sets secrets by name; nil removes one. Header names have no case.
type Change struct {
	Headers map[string]*string
	Env     map[string]*string
	Client  *string // "" removes it
}

func (c Change) empty() bool { return len(c.Headers) == 0 && len(c.Env) == 0 && c.Client == nil }

// values makes a change that sets all of m.
func values(m map[string]string) map[string]*string {
	if m == nil {
		return nil
	}
	out := make(map[string]*string, len(m))
	for k, v := range m {
		out[k] = &v
	}
	return out
}

func (s *Secrets) apply(c Change) {
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		set(&s.Headers, http.CanonicalHeaderKey(name), c.Headers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		set(&s.Env, name, c.Env[name])
	}
	if c.Client != nil {
		s.Client = *c.Client
	}
}

func set(m *map[string]string, name string, v *string) {
	if v == nil {
		delete(*m, name)
		return
	}
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[name] = *v
}

func (s *Secrets) count() int { return len(s.Headers) + len(s.Env) }

// shown describes the secrets; those that did not change keep their time.
func (s *Secrets) shown(before []Shown, c Change, fingerprint func(string) string, now time.Time) []Shown {
	out := []Shown{}
	add := func(kind, name, value string, changed bool) {
		at := now
		if i := slices.IndexFunc(before, func(b Shown) bool { return b.Kind == kind && b.Name == name }); i >= 0 && !changed {
			at = before[i].SetAt
		}
		out = append(out, Shown{Kind: kind, Name: name, Fingerprint: fingerprint(value), SetAt: at})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		add(KindHeader, name, s.Headers[name], hasFold(c.Headers, name))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		_, changed := c.Env[name]
		add(KindEnv, name, s.Env[name], changed)
	}
	if s.Client != "" {
		add(KindClient, "client_secret", s.Client, c.Client != nil)
	}
	return out
}

func hasFold(m map[string]*string, name string) bool {
	for k := range m {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

func seal(box Sealer, v any, binding string) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode secrets of %s: %w", binding, err)
	}
	sealed, err := box.Seal(plain, []byte(binding))
	if err != nil {
		return nil, fmt.Errorf("seal secrets of %s: %w", binding, err)
	}
	return sealed, nil
}

func unseal(box Sealer, sealed []byte, binding string, into any) error {
	if sealed == nil {
		return nil
	}
	plain, err := box.Open(sealed, []byte(binding))
	if err != nil {
		return fmt.Errorf("open secrets of %s: %w", binding, err)
	}
	if err := json.Unmarshal(plain, into); err != nil {
		return fmt.Errorf("read secrets of %s: %w", binding, err)
	}
	return nil
}
