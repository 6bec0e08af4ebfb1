package tlsconf

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// maxFile bounds what is read: a bundle of all public CAs is a quarter of it.
const maxFile = 1 << 20

// File is a file and the setting that names it.
type File struct{ Setting, Path string }

// fault is an error about a file.
func (f File) fault(reason, format string, args ...any) *errs.Error {
	return errs.E(errs.Invalid, "tls."+reason, "TLS cannot be set up.",
		errs.Detail{Location: f.Setting, Message: fmt.Sprintf("(%s) ", f.Path) + fmt.Sprintf(format, args...)})
}

// read gives the content of a file of PEM blocks.
func (f File) read() ([]byte, error) {
	file, err := os.Open(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, f.fault("file_missing", "does not exist.").With(err)
	case errors.Is(err, fs.ErrPermission):
		return nil, f.fault("file_forbidden", "may not be read by this process (user id %d).", os.Geteuid()).With(err)
	case err != nil:
		return nil, f.fault("file_unreadable", "cannot be opened: %v.", err).With(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return nil, f.fault("file_unreadable", "is not a regular file.")
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, f.fault("file_unreadable", "cannot be read: %v.", err).With(err)
	case len(raw) > maxFile:
		return nil, f.fault("file_too_large", "is larger than %d bytes.", maxFile)
	case len(raw) == 0:
		return nil, f.fault("file_empty", "is empty.")
	}
	return raw, nil
}

// blocks decodes the PEM blocks of a file.
func (f File) blocks() ([]byte, []*pem.Block, error) {
	raw, err := f.read()
	if err != nil {
		return nil, nil, err
	}
	var out []*pem.Block
	for rest := raw; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		out = append(out, block)
	}
	if len(out) == 0 {
		return nil, nil, f.fault("not_pem", "holds no PEM block (-----BEGIN …). A DER file is converted with: openssl x509 -inform der -in FILE -out FILE.pem")
	}
	return raw, out, nil
}

// certificates gives the certificates of a file, of which there is at least one.
func (f File) certificates() ([]byte, []*x509.Certificate, error) {
	raw, blocks, err := f.blocks()
	if err != nil {
		return nil, nil, err
	}
	var out []*x509.Certificate
	for _, block := range blocks {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, f.fault("bad_certificate", "its certificate number %d cannot be read: %v.", len(out)+1, err).With(err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, nil, f.fault("no_certificate", "holds no certificate, but %s.", kinds(blocks))
	}
	return raw, out, nil
}

// key gives the text of a file with an unencrypted private key.
func (f File) key() ([]byte, error) {
	raw, blocks, err := f.blocks()
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, f.fault("key_encrypted", "holds an encrypted key. Take the passphrase off with: openssl pkey -in FILE -out FILE.plain")
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			if err := parseKey(block.Bytes); err != nil {
				return nil, f.fault("bad_key", "holds a private key that cannot be read: %v.", err).With(err)
			}
			return raw, nil
		}
	}
	return nil, f.fault("no_key", "holds no private key, but %s.", kinds(blocks))
}

// parseKey tries the encodings that private keys have.
func parseKey(der []byte) error {
	if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return nil
	}
	if _, err := x509.ParseECPrivateKey(der); err == nil {
		return nil
	}
	_, err := x509.ParsePKCS8PrivateKey(der)
	return err
}

// kinds names what a file holds instead.
func kinds(blocks []*pem.Block) string {
	seen := map[string]bool{}
	var names []string
	for _, b := range blocks {
		if !seen[b.Type] {
			seen[b.Type] = true
			names = append(names, b.Type)
		}
	}
	return strings.Join(names, ", ")
}
