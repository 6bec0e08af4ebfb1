package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync/atomic"
	"time"
)

// soon is when the end of a certificate is worth a warning.
const soon = 14 * 24 * time.Hour

// Files are what a listener, or a client that shows a certificate, is made of.
type Files struct {
	Cert, Key File
	CA        File // no path: none
}

// Server is the TLS configuration of listeners; the files may change while it is
// in use.
type Server struct {
	files Files
	now   func() time.Time
	state atomic.Pointer[state]
}

type state struct {
	config   *tls.Config
	warnings []string
}

// NewServer reads the files. Errors: invalid, with the setting at fault.
func NewServer(files Files, now func() time.Time) (*Server, error) {
	s := &Server{files: files, now: now}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the files again; connections made from then on use what they hold.
// On an error everything stays as it was.
func (s *Server) Reload() error {
	config, warnings, err := s.files.load(s.now())
	if err != nil {
		return err
	}
	if s.files.CA.Path != "" {
		pool, more, err := pool(s.files.CA, s.now())
		if err != nil {
			return err
		}
		config.ClientCAs, config.ClientAuth = pool, tls.RequireAndVerifyClientCert
		warnings = append(warnings, more...)
	}
	s.state.Store(&state{config: config, warnings: warnings})
	return nil
}

// Config gives the configuration for listeners. It follows every Reload.
func (s *Server) Config() *tls.Config {
	current := s.state.Load().config.Clone()
	current.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.state.Load().config, nil }
	return current
}

// Warnings are what is odd about the files but no reason not to serve.
func (s *Server) Warnings() []string { return s.state.Load().warnings }

// Expires is when the certificate ends.
func (s *Server) Expires() time.Time { return s.state.Load().config.Certificates[0].Leaf.NotAfter }

// Client gives the configuration for connections to a server of ours. Without a
// CA the system's are trusted; without a certificate none is shown.
func Client(files Files, now time.Time) (*tls.Config, []string, error) {
	config, warnings := &tls.Config{MinVersion: tls.VersionTLS12}, []string(nil)
	if files.Cert.Path != "" || files.Key.Path != "" {
		var err error
		if config, warnings, err = files.load(now); err != nil {
			return nil, nil, err
		}
		config.NextProtos = nil
	}
	if files.CA.Path != "" {
		roots, more, err := pool(files.CA, now)
		if err != nil {
			return nil, nil, err
		}
		config.RootCAs, warnings = roots, append(warnings, more...)
	}
	return config, warnings, nil
}

// load reads certificate and key.
func (f Files) load(now time.Time) (*tls.Config, []string, error) {
	certPEM, chain, err := f.Cert.certificates()
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := f.Key.key()
	if err != nil {
		return nil, nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, nil, f.mismatch(chain[0], err)
	}
	// HTTP/1.1 only, as the server behind it speaks: it is what a WebSocket needs.
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"},
	}, validity(f.Cert, chain, now), nil
}

// mismatch is about two files that are good by themselves.
func (f Files) mismatch(leaf *x509.Certificate, cause error) error {
	return f.Key.fault("key_mismatch", "is not the key of the first certificate in %s (%s, serial number %s), which must be the server's own.",
		f.Cert.Setting, leaf.Subject, leaf.SerialNumber.Text(16)).With(cause)
}

// pool reads certificates of authorities.
func pool(f File, now time.Time) (*x509.CertPool, []string, error) {
	_, certs, err := f.certificates()
	if err != nil {
		return nil, nil, err
	}
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p, validity(f, certs, now), nil
}

// validity warns of certificates that are not in force, or not for long.
func validity(f File, certs []*x509.Certificate, now time.Time) []string {
	var out []string
	for _, c := range certs {
		about := fmt.Sprintf("%s (%s): the certificate of %s ", f.Setting, f.Path, c.Subject)
		const form = "2006-01-02 15:04 MST"
		switch {
		case now.After(c.NotAfter):
			out = append(out, about+"expired on "+c.NotAfter.UTC().Format(form)+"; clients will refuse it")
		case now.Before(c.NotBefore):
			out = append(out, about+"is valid only from "+c.NotBefore.UTC().Format(form)+" on; clients will refuse it until then")
		case now.Add(soon).After(c.NotAfter):
			out = append(out, about+"expires on "+c.NotAfter.UTC().Format(form))
		}
	}
	return out
}
