package redisconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

// secure are the TLS options of an address.
type secure struct {
	on               bool
	insecure         bool
	ca               *x509.CertPool
	certificate, key string
	serverName       string
}

// option reads one option of the query.
type option func(a *Address, value string) error

// options are what the query may have. The ssl_ names are those that addresses
// for Python programs have.
func (a *Address) options() map[string]option {
	all := map[string]option{
		"channel_prefix": setPrefix,
		"client_name":    func(a *Address, v string) error { a.clientName = v; return nil },
		"db":             (*Address).setDB,
		"skip_verify":    func(a *Address, v string) (err error) { a.secure.insecure, err = boolean(v); return err },
		"ssl_cert_reqs":  setCertReqs,
		"ca_file":        setCA, "ssl_ca_certs": setCA,
		"cert_file": setCertificate, "ssl_certfile": setCertificate,
		"key_file": setKey, "ssl_keyfile": setKey,
		"server_name": func(a *Address, v string) error { a.secure.serverName = v; return nil },
	}
	if a.Kind == Sentinel || a.Kind == Cluster {
		all["tls"] = func(a *Address, v string) (err error) { a.secure.on, err = boolean(v); return err }
	}
	if a.Kind == Sentinel {
		all["sentinel_username"] = func(a *Address, v string) error { a.sentinelUsername = v; return nil }
		all["sentinel_password"] = func(a *Address, v string) error { a.sentinelPassword = v; return nil }
	}
	return all
}

func (a *Address) parseOptions(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the options after ? are not name=value pairs joined by &")
	}
	a.secure.on = a.Kind == TLS
	known := a.options()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		set, ok := known[name]
		if !ok {
			return fmt.Errorf("option %q is unknown to %s://; accepted are %s", name, a.Kind, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if len(values[name]) != 1 || values[name][0] == "" {
			return fmt.Errorf("option %q needs exactly one value", name)
		}
		if err := set(a, values[name][0]); err != nil {
			return fmt.Errorf("option %q: %w", name, err)
		}
	}
	if a.Kind == Sentinel && a.Master == "" {
		return errors.New("the name of the master is missing; write redis-sentinel://host:26379/mymaster")
	}
	return a.checkSecure()
}

func (a *Address) checkSecure() error {
	s := a.secure
	asked := s.insecure || s.ca != nil || s.certificate != "" || s.key != "" || s.serverName != ""
	switch {
	case asked && !s.on && a.Kind == Single:
		return errors.New("TLS options need rediss://")
	case asked && !s.on:
		return errors.New("TLS options need tls=true")
	case (s.certificate == "") != (s.key == ""):
		return errors.New("cert_file and key_file go together")
	}
	_, err := s.config()
	return err
}

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

func setPrefix(a *Address, v string) error {
	if !prefixPattern.MatchString(v) {
		return fmt.Errorf("%q is not 1 to 64 letters, digits and . _ : -", v)
	}
	a.Prefix = v
	return nil
}

func boolean(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "1", "true", "yes", "on":
		return true, nil
	case "0", "false", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", v)
}

func setCertReqs(a *Address, v string) error {
	switch strings.ToLower(strings.TrimPrefix(v, "CERT_")) {
	case "none":
		a.secure.insecure = true
	case "required":
		a.secure.insecure = false
	default:
		return fmt.Errorf("%q is neither required nor none", v)
	}
	return nil
}

func setCA(a *Address, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("certificate authorities cannot be read: %w", err)
	}
	a.secure.ca = x509.NewCertPool()
	if !a.secure.ca.AppendCertsFromPEM(pem) {
		return fmt.Errorf("file %s has no certificate in PEM form", file)
	}
	return nil
}

func setCertificate(a *Address, file string) error {
	a.secure.certificate = file
	return nil
}

func setKey(a *Address, file string) error {
	a.secure.key = file
	return nil
}

// config is nil without TLS.
func (s secure) config() (*tls.Config, error) {
	if !s.on {
		return nil, nil //nolint:nilnil // no TLS is no fault
	}
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: s.ca, ServerName: s.serverName,
		InsecureSkipVerify: s.insecure, //nolint:gosec // only when the address asks for it
	}
	if s.certificate != "" {
		pair, err := tls.LoadX509KeyPair(s.certificate, s.key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
