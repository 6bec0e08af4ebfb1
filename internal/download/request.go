package download

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/download/hub"
	"github.com/llmctl/studio/internal/errs"
)

// Request is what somebody wants to have.
type Request struct {
	RepoID   string
	Revision string // "": main
	Include  []string
	Exclude  []string
	Token    string // "": the installation's
}

// Limits of a request.
const (
	maxPatterns      = 100
	maxPatternLength = 200
	maxRevision      = 200
	maxNamePart      = 96
	maxToken         = 500
	maxPath          = 1024
	maxPathPart      = 255
	defaultRevision  = "main"
)

// clean checks a request and gives it its defaults. Its error lists all faulty
// places.
func (r *Request) clean() error {
	if r.Revision == "" {
		r.Revision = defaultRevision
	}
	if r.Include == nil {
		r.Include = []string{}
	}
	if r.Exclude == nil {
		r.Exclude = []string{}
	}
	var faults []errs.Detail
	add := func(location, message string) {
		if message != "" {
			faults = append(faults, errs.Detail{Location: location, Message: message})
		}
	}
	add("body.repo_id", repoFault(r.RepoID))
	add("body.revision", revisionFault(r.Revision))
	add("body.token", tokenFault(r.Token))
	for name, patterns := range map[string][]string{"body.include": r.Include, "body.exclude": r.Exclude} {
		if len(patterns) > maxPatterns {
			add(name, fmt.Sprintf("has %d patterns; at most %d are accepted", len(patterns), maxPatterns))
			continue
		}
		for i, p := range patterns {
			add(fmt.Sprintf("%s[%d]", name, i), patternFault(p))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortFunc(faults, func(a, b errs.Detail) int { return strings.Compare(a.Location, b.Location) })
	return errs.E(errs.Invalid, "download.invalid", "The download cannot be made as it was asked for.", faults...)
}

func repoFault(id string) string {
	owner, name, slashed := strings.Cut(id, "/")
	if !slashed {
		owner, name = "", id
	}
	part := regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`)
	switch {
	case id == "":
		return `is empty; give owner/name, such as "Qwen/Qwen2.5-0.5B-Instruct"`
	case len(owner) > maxNamePart || len(name) > maxNamePart:
		return fmt.Sprintf("is too long; owner and name have at most %d characters each", maxNamePart)
	case !part.MatchString(name) || slashed && !part.MatchString(owner):
		return fmt.Sprintf("is %q; it must be owner/name with letters, digits, '-', '_' and '.', and neither may begin or end with '-' or '.'", clip(id))
	case strings.Contains(id, "--") || strings.Contains(id, ".."):
		return fmt.Sprintf("is %q; it must not have -- or .. in it", clip(id))
	case strings.HasSuffix(id, ".git"):
		return fmt.Sprintf("is %q; leave the .git away", clip(id))
	}
	return ""
}

func revisionFault(revision string) string {
	switch {
	case len(revision) > maxRevision:
		return fmt.Sprintf("has %d characters; at most %d are accepted", len(revision), maxRevision)
	case !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+@-]*$`).MatchString(revision) || strings.Contains(revision, "..") || strings.Contains(revision, "//"):
		return fmt.Sprintf("is %q; it must be a branch, a tag or a commit", clip(revision))
	}
	return ""
}

func tokenFault(token string) string {
	if len(token) > maxToken {
		return fmt.Sprintf("has %d characters; at most %d are accepted", len(token), maxToken)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "has characters that no token has, such as blanks or line ends"
	}
	return ""
}

func patternFault(p string) string {
	switch {
	case p == "":
		return `is empty; give a pattern such as "*.safetensors"`
	case len(p) > maxPatternLength:
		return fmt.Sprintf("has %d characters; at most %d are accepted", len(p), maxPatternLength)
	case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl):
		return "has characters that no file name has"
	}
	return ""
}

// pathFault tells what speaks against a name that the hub gave; "": nothing. What
// it lets through stays below the folder that it is joined to.
func pathFault(p string) string {
	switch {
	case p == "" || len(p) > maxPath:
		return fmt.Sprintf("its length is not between 1 and %d", maxPath)
	case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl) || strings.Contains(p, `\`):
		return "it has control characters or a backslash"
	case strings.HasPrefix(p, ".llmctl"):
		return "names that begin with .llmctl are taken"
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." || len(part) > maxPathPart {
			return fmt.Sprintf("a part of it is empty, . or .., or longer than %d", maxPathPart)
		}
	}
	return ""
}

// checkFiles refuses lists whose names cannot all be files of one folder.
func checkFiles(files []hub.File) error {
	seen := make(map[string]bool, len(files))
	for _, f := range files {
		if fault := pathFault(f.Path); fault != "" {
			return refused(f.Path, fault)
		}
		if seen[f.Path] {
			return refused(f.Path, "it is listed twice")
		}
		seen[f.Path] = true
	}
	for _, f := range files {
		for i, c := range f.Path {
			if c == '/' && seen[f.Path[:i]] {
				return refused(f.Path, fmt.Sprintf("%q is a file as well", f.Path[:i]))
			}
		}
	}
	return nil
}

func refused(path, fault string) error {
	return errs.Ef(errs.Invalid, "download.unsafe_path", "The hub lists a file whose name cannot be used (%q): %s. Nothing was downloaded; exclude it with a pattern.", clip(path), fault)
}

// targetOf names the folder of a revision: owner--name, and what was asked for if
// that is not main. Different repositories and revisions have different ones, since
// a hub's names have no --.
func targetOf(repo, revision string) string {
	target := strings.ReplaceAll(repo, "/", "--")
	if revision == defaultRevision {
		return target
	}
	slug := regexp.MustCompile(`[^A-Za-z0-9._]+`).ReplaceAllString(revision, "-")
	if slug != revision || len(slug) > 40 {
		sum := sha256.Sum256([]byte(revision))
		slug = slug[:min(len(slug), 31)] + "-" + hex.EncodeToString(sum[:4])
	}
	return target + "@" + slug
}

// clip keeps a faulty text from coming back at full length.
func clip(text string) string {
	if len(text) > 100 {
		return strings.ToValidUTF8(text[:100], "") + "…"
	}
	return text
}
