package catalog

import (
	"net/url"
	"strings"
)

// OwnOrigin stands for the address that a provider's client knows by itself.
const OwnOrigin = "the provider's own address"

// ProviderUpdate is a changed provider and what the change meant for its key.
type ProviderUpdate struct {
	Provider           Provider
	MovedFrom, MovedTo string // origins, if base_url moved to another one
	KeyRemoved         bool   // because it moved and no new key came along
}

// origin is the scheme, host and port of an address, in one form. An address that
// cannot be read is an origin of its own.
func origin(base string) string {
	if base == "" {
		return OwnOrigin
	}
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + ":" + port
}
