package hub

import (
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// Bounds of what a hub may answer.
const (
	maxInfo  = 16 << 20
	maxPage  = 16 << 20
	maxPages = 500
)

// Revision is what a name of a revision stands for.
type Revision struct {
	RepoID string // as the hub writes it
	Commit string // 40 hex digits
	Gated  bool
}

// The kinds of hashes that a hub publishes.
const (
	SHA256  = "sha256"   // of the content: large files
	GitSHA1 = "git_sha1" // of a Git blob: "blob <size>\0" and the content
)

// File is a file of a revision.
type File struct {
	Path     string
	Size     int64
	HashKind string
	Hash     string // lower-case hex
}

func (c *Client) api(repo string, parts ...string) *url.URL {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = url.PathEscape(p)
	}
	u := *c.base
	return u.JoinPath("api", "models", repo).JoinPath(escaped...)
}

// Resolve finds out which commit a branch, a tag or a commit is.
func (c *Client) Resolve(ctx context.Context, token, repo, revision string) (Revision, error) {
	raw, _, err := c.fetchJSON(ctx, request{
		url: c.api(repo, "revision", revision), token: token, subject: subject{repo: repo, revision: revision, host: c.base.Host},
	}, maxInfo)
	if err != nil {
		return Revision{}, err
	}
	return parseRevision(raw, repo)
}

func parseRevision(raw []byte, repo string) (Revision, error) {
	var info struct {
		ID    string          `json:"id"`
		SHA   string          `json:"sha"`
		Gated json.RawMessage `json:"gated"` // false, or "auto" or "manual"
	}
	if err := json.Unmarshal(raw, &info); err != nil {
		return Revision{}, fail(BadAnswer, 0, "The hub's description of %s cannot be read. Is HF_ENDPOINT the address of a model hub?", repo)
	}
	if !commitPattern().MatchString(info.SHA) {
		return Revision{}, fail(BadAnswer, 0, "The hub does not say which commit this revision of %s is.", repo)
	}
	if info.ID == "" {
		info.ID = repo
	}
	gated := len(info.Gated) > 0 && string(info.Gated) != "false" && string(info.Gated) != "null"
	return Revision{RepoID: info.ID, Commit: info.SHA, Gated: gated}, nil
}

func commitPattern() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{40}$`) }

// Tree lists the files of a commit, page by page; more than limit is an error.
func (c *Client) Tree(ctx context.Context, token, repo, commit string, limit int) ([]File, error) {
	next := c.api(repo, "tree", commit)
	next.RawQuery = url.Values{"recursive": {"true"}, "expand": {"false"}}.Encode()
	s := subject{repo: repo, revision: commit, host: c.base.Host}
	var out []File
	for range maxPages {
		raw, header, err := c.fetchJSON(ctx, request{url: next, token: token, subject: s}, maxPage)
		if err != nil {
			return nil, err
		}
		files, err := parseTree(raw)
		if err != nil {
			return nil, err
		}
		if out = append(out, files...); len(out) > limit {
			return nil, fail(TooMany, 0, "%s has more than %d files, which is the limit of one download.", repo, limit)
		}
		link := nextPage(header.Values("Link"))
		if link == "" {
			return out, nil
		}
		if next, err = next.Parse(link); err != nil || !c.trusted(next) {
			return nil, fail(BadAnswer, 0, "The hub's list of files goes on at another server (%s). A proxy in front of it must rewrite Link headers, too.", clean(link))
		}
	}
	return nil, fail(TooMany, 0, "The list of files of %s has more than %d pages.", repo, maxPages)
}

type treeEntry struct {
	Type string `json:"type"`
	OID  string `json:"oid"`
	Size int64  `json:"size"`
	Path string `json:"path"`
	LFS  *struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	} `json:"lfs"`
}

// parseTree reads a page of a list. What names a file without a usable hash or
// size is an error: it could not be verified.
func parseTree(raw []byte) ([]File, error) {
	var entries []treeEntry
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, fail(BadAnswer, 0, "The hub's list of files cannot be read.")
	}
	out := make([]File, 0, len(entries))
	for _, e := range entries {
		if e.Type != "file" {
			continue
		}
		f := File{Path: e.Path, Size: e.Size, HashKind: GitSHA1, Hash: strings.ToLower(e.OID)}
		if e.LFS != nil {
			f.Size, f.HashKind, f.Hash = e.LFS.Size, SHA256, strings.ToLower(strings.TrimPrefix(e.LFS.OID, "sha256:"))
		}
		if f.Size < 0 || !ValidHash(f.HashKind, f.Hash) {
			return nil, fail(BadAnswer, 0, "The hub publishes no usable hash or size for %q, so it could not be verified.", clean(f.Path))
		}
		out = append(out, f)
	}
	return out, nil
}

// ValidHash tells whether a hash is one of its kind.
func ValidHash(kind, hash string) bool {
	digits := map[string]int{SHA256: 64, GitSHA1: 40}[kind]
	return digits > 0 && len(hash) == digits && strings.Trim(hash, "0123456789abcdef") == ""
}

// nextPage finds rel="next" in Link headers; "": there is none.
func nextPage(headers []string) string {
	for _, header := range headers {
		for header != "" {
			_, rest, ok := strings.Cut(header, "<")
			if !ok {
				break
			}
			target, params, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			own, _, _ := strings.Cut(params, "<")
			if regexp.MustCompile(`(?i);\s*rel\s*=\s*"?([^";,]*\s)?next(\s[^";,]*)?"?\s*([;,]|$)`).MatchString(strings.TrimSpace(own)) {
				return target
			}
			header = params
		}
	}
	return ""
}
