package git

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/rag/fetch/local"
)

// The schemes of addresses.
const (
	schemeHTTPS = "https"
	schemeHTTP  = "http"
	schemeSSH   = "ssh"
	schemeFile  = "file"
)

const maxURL = 2000

// remote is an address that was checked.
type remote struct {
	u *url.URL
}

// scpForm is the short form of ssh addresses: user@host:path.
var scpForm = regexp.MustCompile(`^([A-Za-z0-9._-]+@)?([A-Za-z0-9.-]+):([^/].*)?$`)

// hostName is what a resolver here and git's own read alike: other letters would be
// translated there only, into a name that nobody looked at.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

var userName = regexp.MustCompile(`^[A-Za-z0-9._][A-Za-z0-9._-]*$`)

const accepted = "accepted are https://host/path, ssh://user@host/path, user@host:path, and file:///path inside the allowed folders"

// CleanURL says what is wrong with an address ("": nothing), and writes it as it is
// stored: the short form of ssh addresses in full, without spaces around it.
func CleanURL(raw string, roots local.Roots) (clean, problem string) {
	r, problem := parse(raw, roots)
	if problem != "" {
		return raw, problem
	}
	return r.u.String(), ""
}

func parse(raw string, roots local.Roots) (remote, string) {
	raw = strings.TrimSpace(raw)
	switch {
	case raw == "":
		return remote{}, "is missing; " + accepted
	case len(raw) > maxURL || !utf8.ValidString(raw) || strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || r == ' ' }):
		return remote{}, fmt.Sprintf("must have at most %d characters, without spaces and control characters", maxURL)
	}
	text := raw
	if m := scpForm.FindStringSubmatch(raw); m != nil && !strings.Contains(raw, "://") && !strings.HasPrefix(m[3], ":") {
		text = "ssh://" + m[1] + m[2] + "/" + m[3]
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return remote{}, "cannot be read as an address; " + accepted
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if problem := checkParts(u, roots); problem != "" {
		return remote{}, problem
	}
	return remote{u}, ""
}

func checkParts(u *url.URL, roots local.Roots) string {
	switch {
	case u.Scheme == schemeFile:
		return checkFile(u, roots)
	case u.Scheme != schemeHTTPS && u.Scheme != schemeHTTP && u.Scheme != schemeSSH:
		return fmt.Sprintf("has the scheme %q; %s", u.Scheme, accepted)
	case !hostName.MatchString(u.Hostname()) && net.ParseIP(u.Hostname()) == nil:
		return "has no host; " + accepted + ". Names with other letters than a to z are written in their xn-- form"
	case strings.Trim(u.Path, "/") == "" || strings.HasPrefix(u.Path, "/-"):
		return "has no path to a repository"
	case u.RawQuery != "" || u.Fragment != "":
		return "has a query or a fragment; give the address by which git clone knows the repository"
	}
	if _, set := u.User.Password(); set {
		return "holds a password; give it as token, which is kept encrypted"
	}
	if name := u.User.Username(); u.User != nil && (u.Scheme != schemeSSH || !userName.MatchString(name)) {
		return "holds a user name; give a token instead, in full as user:token if the server wants a certain user"
	}
	return ""
}

func checkFile(u *url.URL, roots local.Roots) string {
	if u.Host != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "is no file address; write file:///path"
	}
	clean, problem := roots.Clean(u.Path)
	u.Path = clean
	return problem
}

func (r remote) port() string {
	if p := r.u.Port(); p != "" {
		return p
	}
	return map[string]string{schemeHTTPS: "443", schemeHTTP: "80", schemeSSH: "22"}[r.u.Scheme]
}

// pathThere is how an SSH server is told a path: one that begins with ~ is relative to the
// account's folder.
func (r remote) pathThere() string {
	if strings.HasPrefix(r.u.Path, "/~") {
		return r.u.Path[1:]
	}
	return r.u.Path
}

// Home is what a secret was entered for: if it changes, the secret is not sent there.
func Home(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// sameOwner tells whether a repository lies in the folder of its server that r lies in, or
// below: with one of the owner (or group, or project) that the source's secret was entered
// for. Whoever may write to a repository chooses its submodules, and must not have the secret
// read what it was not given for. A server without owners has none that are the same.
func (r remote) sameOwner(other remote) bool {
	owner := path.Dir(strings.TrimSuffix(strings.TrimRight(r.u.Path, "/"), "/.git"))
	return Home(r.u.String()) == Home(other.u.String()) && r.u.User.String() == other.u.User.String() &&
		path.Clean(r.u.Path) == strings.TrimRight(r.u.Path, "/") && path.Clean(other.u.Path) == strings.TrimRight(other.u.Path, "/") &&
		owner != "/" && owner != "." && strings.HasPrefix(other.u.Path, owner+"/")
}

// NeedsKey tells which kind of secret an address takes.
func NeedsKey(address string) (token, sshKey bool) {
	scheme, _, _ := strings.Cut(address, "://")
	return scheme == schemeHTTPS || scheme == schemeHTTP, scheme == schemeSSH
}

// relative resolves the address of a submodule: ./ and ../ begin at the repository that
// names it.
//
// A repository of another machine names none here: whoever may write to it would choose what
// is read of this one.
func (r remote) relative(text string, roots local.Roots) (remote, string) {
	if !strings.HasPrefix(text, "./") && !strings.HasPrefix(text, "../") {
		to, problem := parse(text, roots)
		if problem == "" && to.u.Scheme == schemeFile && r.u.Scheme != schemeFile {
			return remote{}, "is a folder of this machine, which a repository of another one may not name"
		}
		return to, problem
	}
	u := *r.u
	u.Path = path.Join(u.Path, text)
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
	}
	return parse(u.String(), roots)
}

// CheckBranch says what is wrong with a branch's name; "": nothing. No name means the
// branch that the server calls its default.
func CheckBranch(name string) string {
	bad := name != "" && (len(name) > 250 || !utf8.ValidString(name) || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "/") ||
		strings.HasSuffix(name, "/") || strings.HasSuffix(name, ".") || strings.HasSuffix(name, ".lock") || name == "@" ||
		strings.Contains(name, "..") || strings.Contains(name, "//") || strings.Contains(name, "@{") || strings.Contains(name, "/.") ||
		strings.HasPrefix(name, ".") || strings.ContainsAny(name, " ~^:?*[\\\x7f") || strings.ContainsFunc(name, unicode.IsControl))
	if bad {
		return "is not the name of a branch"
	}
	return ""
}

// CleanSubfolder says what is wrong with a folder in a repository ("": nothing), and
// writes it as it is stored.
func CleanSubfolder(name string) (clean, problem string) {
	if name == "" || strings.Trim(name, "/") == "" {
		return "", ""
	}
	clean = path.Clean(strings.Trim(name, "/"))
	if len(name) > 1000 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || clean == ".." || strings.HasPrefix(clean, "../") {
		return name, "is no folder below the repository's root"
	}
	if clean == "." {
		return "", ""
	}
	return clean, ""
}
