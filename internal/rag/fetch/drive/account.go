package drive

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"

	"golang.org/x/oauth2/jwt"
	drivev3 "google.golang.org/api/drive/v3"
)

// defaultTokenURI is where Google gives tokens.
const defaultTokenURI = "https://oauth2.googleapis.com/token" //nolint:gosec // an address

// account is what is used of a service account's file.
type account struct {
	Type         string `json:"type"`
	ClientEmail  string `json:"client_email"`
	PrivateKey   string `json:"private_key"`
	PrivateKeyID string `json:"private_key_id"`
	TokenURI     string `json:"token_uri"`
}

func parseAccount(text string) (account, string) {
	var a account
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, "is no JSON; accepted is the key file of a service account, as the Google Cloud console gives it"
	}
	if a.TokenURI == "" {
		a.TokenURI = defaultTokenURI
	}
	switch {
	case a.Type != "service_account":
		return a, fmt.Sprintf("is a file of the type %q; accepted is that of a service account", a.Type)
	case a.ClientEmail == "":
		return a, "has no client_email"
	case !isKey(a.PrivateKey):
		return a, "has no readable private_key"
	}
	if problem := checkAddress(a.TokenURI); problem != "" {
		return a, "has a token_uri that " + problem
	}
	return a, ""
}

func isKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	_, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		_, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	return err == nil
}

func (a account) config() *jwt.Config {
	return &jwt.Config{
		Email: a.ClientEmail, PrivateKey: []byte(a.PrivateKey), PrivateKeyID: a.PrivateKeyID, TokenURL: a.TokenURI,
		Scopes: []string{drivev3.DriveReadonlyScope},
	}
}

// CheckAccount says what is wrong with the key file of a service account; "": nothing.
func CheckAccount(text string) string {
	_, problem := parseAccount(text)
	return problem
}

var folderID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)

// CheckFolder says what is wrong with a folder's id; "": nothing.
func CheckFolder(id string) string {
	switch {
	case id == "":
		return "is missing; give the last part of the folder's address, https://drive.google.com/drive/folders/<id>"
	case !folderID.MatchString(id):
		return "is no folder's id; give the last part of its address, https://drive.google.com/drive/folders/<id>"
	}
	return ""
}

// CheckEndpoint says what is wrong with the address of a server; "": nothing. No
// address means Google's.
func CheckEndpoint(address string) string {
	if address == "" {
		return ""
	}
	return checkAddress(address)
}

func checkAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || len(address) > 2000 || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "is no address such as https://host"
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLocal(u.Hostname())) {
		return "is not https; without TLS only this machine is accepted"
	}
	return ""
}

func isLocal(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}
