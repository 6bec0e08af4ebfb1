package tlsconf_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/tlsconf"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{cert: cert, key: key, pem: encode("CERTIFICATE", der)}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// issue gives a certificate for localhost and its key.
func (a *authority) issue(t *testing.T, serial int64, from, to time.Time) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "studio"}, DNSNames: []string{"localhost"},
		NotBefore: from, NotAfter: to, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	require.NoError(t, err)
	raw, err := x509.MarshalECPrivateKey(k)
	require.NoError(t, err)
	return encode("CERTIFICATE", der), encode("EC PRIVATE KEY", raw)
}

func (a *authority) good(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	return a.issue(t, serial, now.Add(-time.Hour), now.AddDate(1, 0, 0))
}

func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func files(t *testing.T, dir string, cert, key, ca []byte) tlsconf.Files {
	t.Helper()
	f := tlsconf.Files{
		Cert: tlsconf.File{Setting: "CERT_SETTING", Path: write(t, dir, "cert.pem", cert)},
		Key:  tlsconf.File{Setting: "KEY_SETTING", Path: write(t, dir, "key.pem", key)},
	}
	if ca != nil {
		f.CA = tlsconf.File{Setting: "CA_SETTING", Path: write(t, dir, "ca.pem", ca)}
	}
	return f
}

func TestUnusableFilesAreNamedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	cert, key := ca.good(t, 10)
	_, otherKey := ca.good(t, 11)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	encrypted := []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n")
	for name, c := range map[string]struct {
		cert, key, ca   []byte
		setting, reason string
		says            string
	}{
		"empty certificate":    {[]byte{}, key, nil, "CERT_SETTING", "file_empty", "is empty"},
		"certificate is text":  {[]byte("hello"), key, nil, "CERT_SETTING", "not_pem", "openssl x509 -inform der"},
		"certificate is a key": {key, key, nil, "CERT_SETTING", "no_certificate", "EC PRIVATE KEY"},
		"broken certificate":   {encode("CERTIFICATE", []byte("x")), key, nil, "CERT_SETTING", "bad_certificate", "number 1"},
		"huge certificate":     {bytes.Repeat([]byte("x"), 2<<20), key, nil, "CERT_SETTING", "file_too_large", "1048576"},
		"key is a certificate": {cert, cert, nil, "KEY_SETTING", "no_key", "CERTIFICATE"},
		"broken key":           {cert, encode("PRIVATE KEY", []byte("x")), nil, "KEY_SETTING", "bad_key", "cannot be read"},
		"encrypted key":        {cert, encode("ENCRYPTED PRIVATE KEY", []byte("x")), nil, "KEY_SETTING", "key_encrypted", "openssl pkey"},
		"encrypted old key":    {cert, encrypted, nil, "KEY_SETTING", "key_encrypted", "openssl pkey"},
		"another's key":        {cert, otherKey, nil, "KEY_SETTING", "key_mismatch", "CERT_SETTING"},
		"key of another kind": {
			cert, encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), nil, "KEY_SETTING", "key_mismatch", "serial number a",
		},
		"chain in wrong order": {append(bytes.Clone(ca.pem), cert...), key, nil, "KEY_SETTING", "key_mismatch", "must be the server's own"},
		"CA without any":       {cert, key, key, "CA_SETTING", "no_certificate", "EC PRIVATE KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := tlsconf.NewServer(files(t, t.TempDir(), c.cert, c.key, c.ca), clock)
			e := errs.As(err)
			require.Equal(t, errs.Invalid, e.Code)
			require.Equal(t, "tls."+c.reason, e.Reason)
			require.Len(t, e.Details, 1)
			require.Equal(t, c.setting, e.Details[0].Location)
			require.Contains(t, e.Details[0].Message, c.says)
			require.Contains(t, e.Details[0].Message, ".pem")
		})
	}
}

func TestFilesThatAreNoneAreNamed(t *testing.T) {
	t.Parallel()
	cert, key := newAuthority(t, "ca").good(t, 10)
	for reason, path := range map[string]string{"file_missing": filepath.Join(t.TempDir(), "none.pem"), "file_unreadable": t.TempDir()} {
		f := files(t, t.TempDir(), cert, key, nil)
		f.Key.Path = path
		_, err := tlsconf.NewServer(f, clock)
		require.Equal(t, "tls."+reason, errs.As(err).Reason)
		require.Contains(t, errs.As(err).Details[0].Message, path)
	}
}

func TestForbiddenFileIsNamed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	cert, key := newAuthority(t, "ca").good(t, 10)
	f := files(t, t.TempDir(), cert, key, nil)
	require.NoError(t, os.Chmod(f.Key.Path, 0))
	_, err := tlsconf.NewServer(f, clock)
	require.Equal(t, "tls.file_forbidden", errs.As(err).Reason)
}

func TestKeyEncodingsAreAllAccepted(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	cert := encode("CERTIFICATE", der)
	for _, k := range [][]byte{encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), encode("PRIVATE KEY", pkcs8)} {
		_, err := tlsconf.NewServer(files(t, t.TempDir(), cert, k, nil), clock)
		require.NoError(t, err)
	}
}

func TestCertificatesOutsideTheirTimeAreWarnedOf(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	for says, c := range map[string]struct{ from, to time.Time }{
		"expired on 2026-05-31 12:00 UTC":            {now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1)},
		"is valid only from 2026-06-02 12:00 UTC on": {now.AddDate(0, 0, 1), now.AddDate(1, 0, 0)},
		"studio expires on 2026-06-04 12:00 UTC":     {now.AddDate(-1, 0, 0), now.AddDate(0, 0, 3)},
		"":                                           {now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0)},
	} {
		cert, key := ca.issue(t, 10, c.from, c.to)
		s, err := tlsconf.NewServer(files(t, t.TempDir(), cert, key, ca.pem), clock)
		require.NoError(t, err)
		if says == "" {
			require.Empty(t, s.Warnings())
			continue
		}
		require.Len(t, s.Warnings(), 1)
		require.Contains(t, s.Warnings()[0], says)
		require.Contains(t, s.Warnings()[0], "CERT_SETTING")
		require.Equal(t, c.to, s.Expires())
	}
}

// handshake connects to a server and gives the serial number of its certificate.
func handshake(t *testing.T, server, client *tls.Config) (string, error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = c.Read(make([]byte, 1)) // what is wrong with the client shows when it is read from
			_ = c.Close()
		}
		done <- err
	}()
	client.ServerName, client.Time = "localhost", clock
	c, err := (&tls.Dialer{Config: client}).DialContext(t.Context(), "tcp", l.Addr().String())
	serial := ""
	if err == nil {
		serial = c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Text(10)
		_, err = c.Write([]byte("x"))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		_ = c.Close()
	}
	_ = l.Close()
	<-done
	if err != nil && strings.Contains(err.Error(), "EOF") {
		err = nil // it was read and closed
	}
	return serial, err
}

func roots(a *authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func TestReloadTakesNewFilesForNewConnections(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	dir := t.TempDir()
	cert, key := ca.good(t, 10)
	s, err := tlsconf.NewServer(files(t, dir, cert, key, nil), clock)
	require.NoError(t, err)
	config := s.Config() // as a listener holds it
	serial, err := handshake(t, config, &tls.Config{RootCAs: roots(ca)})
	require.NoError(t, err)
	require.Equal(t, "10", serial)

	cert, key = ca.good(t, 11)
	write(t, dir, "cert.pem", cert)
	require.Equal(t, "tls.key_mismatch", errs.As(s.Reload()).Reason)
	serial, err = handshake(t, config, &tls.Config{RootCAs: roots(ca)})
	require.NoError(t, err)
	require.Equal(t, "10", serial, "what does not work is not taken")

	write(t, dir, "key.pem", key)
	require.NoError(t, s.Reload())
	serial, err = handshake(t, config, &tls.Config{RootCAs: roots(ca)})
	require.NoError(t, err)
	require.Equal(t, "11", serial)
}

func TestClientCertificatesAreRequiredWithACA(t *testing.T) {
	t.Parallel()
	ca, clients, strangers := newAuthority(t, "ca"), newAuthority(t, "clients"), newAuthority(t, "strangers")
	cert, key := ca.good(t, 10)
	s, err := tlsconf.NewServer(files(t, t.TempDir(), cert, key, clients.pem), clock)
	require.NoError(t, err)
	s.Config().Time = clock
	server := s.Config()
	inner := server.GetConfigForClient
	server.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := inner(h)
		c = c.Clone()
		c.Time = clock
		return c, err
	}
	_, err = handshake(t, server, &tls.Config{RootCAs: roots(ca)})
	require.ErrorContains(t, err, "certificate required")

	dir := t.TempDir()
	cCert, cKey := strangers.good(t, 20)
	client, warnings, err := tlsconf.Client(files(t, dir, cCert, cKey, ca.pem), now)
	require.NoError(t, err)
	require.Empty(t, warnings)
	_, err = handshake(t, server, client)
	require.Error(t, err)

	cCert, cKey = clients.good(t, 21)
	client, _, err = tlsconf.Client(files(t, dir, cCert, cKey, ca.pem), now)
	require.NoError(t, err)
	_, err = handshake(t, server, client)
	require.NoError(t, err)
}

func TestOldVersionsAreRefused(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	cert, key := ca.good(t, 10)
	s, err := tlsconf.NewServer(files(t, t.TempDir(), cert, key, nil), clock)
	require.NoError(t, err)
	_, err = handshake(t, s.Config(), &tls.Config{RootCAs: roots(ca), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	require.ErrorContains(t, err, "protocol version")
	require.Equal(t, []string{"http/1.1"}, s.Config().NextProtos)
}

func TestClientWithoutFilesTrustsTheSystem(t *testing.T) {
	t.Parallel()
	config, _, err := tlsconf.Client(tlsconf.Files{}, now)
	require.NoError(t, err)
	require.Nil(t, config.RootCAs)
	require.Empty(t, config.Certificates)
	require.EqualValues(t, tls.VersionTLS12, config.MinVersion)
}
