package hub

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Want is a part of a file of a commit.
type Want struct {
	Repo, Commit string
	File         File
	From, To     int64  // bytes [From, To)
	ETag         string // of what is there already; "": nothing is
}

// Content is a part that comes.
type Content struct {
	io.ReadCloser
	ETag string // of the server that sends it; strong, else ""
}

// Open asks for a part. Errors beside those of the network: Changed when the file
// is not the one of the commit, or not the one that ETag names; NoRanges when the
// server sends whole files only.
func (c *Client) Open(ctx context.Context, token string, w Want) (*Content, error) {
	u := *c.base
	at := u.JoinPath(w.Repo, "resolve", w.Commit).JoinPath(escapePath(w.File.Path)...)
	r := request{
		url: at, token: token, headers: http.Header{},
		subject: subject{repo: w.Repo, revision: w.Commit, path: w.File.Path, host: c.base.Host},
	}
	whole := w.From == 0 && w.To == w.File.Size
	if !whole {
		r.headers.Set("Range", fmt.Sprintf("bytes=%d-%d", w.From, w.To-1))
		if w.ETag != "" {
			r.headers.Set("If-Range", w.ETag)
		}
	}
	res, err := c.get(ctx, r)
	if err != nil {
		return nil, err
	}
	etag := strongETag(res.Header)
	if err := c.check(res, r, w, whole, etag); err != nil {
		_ = res.Body.Close()
		return nil, err
	}
	return &Content{ReadCloser: res.Body, ETag: etag}, nil
}

func escapePath(path string) []string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return parts
}

// check tells whether an answer is the part that was asked for.
func (c *Client) check(res *exchange, r request, w Want, whole bool, etag string) error {
	if err := sameFile(res.hops[0], w); err != nil {
		return err
	}
	switch {
	case res.StatusCode == http.StatusPartialContent:
		return checkRange(res.Header.Get("Content-Range"), w)
	case res.StatusCode == http.StatusOK && whole:
		if res.ContentLength >= 0 && res.ContentLength != w.File.Size {
			return changed(w, fmt.Sprintf("it has %d bytes", res.ContentLength))
		}
		return nil
	case res.StatusCode == http.StatusOK && w.ETag != "" && etag != w.ETag:
		return changed(w, "its ETag is "+clean(etag))
	case res.StatusCode == http.StatusOK:
		return fail(NoRanges, res.StatusCode, "%s sends whole files only.", r.subject.host)
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return changed(w, "it is shorter ("+clean(res.Header.Get("Content-Range"))+")")
	}
	return explain(res.Response, r.subject, r.token != "", c.o.Now())
}

// sameFile compares what the hub itself says of the file with what its tree said.
func sameFile(h http.Header, w Want) error {
	if commit := h.Get("X-Repo-Commit"); commit != "" && commit != w.Commit {
		return changed(w, "it comes from commit "+clean(commit))
	}
	etag := h.Get("X-Linked-Etag")
	if etag == "" {
		etag = h.Get("ETag")
	}
	etag = strings.ToLower(strings.Trim(strings.TrimPrefix(etag, "W/"), `"`))
	if ValidHash(w.File.HashKind, etag) && etag != w.File.Hash {
		return changed(w, "its hash there is "+etag)
	}
	if size, err := strconv.ParseInt(h.Get("X-Linked-Size"), 10, 64); err == nil && size != w.File.Size {
		return changed(w, fmt.Sprintf("it has %d bytes there", size))
	}
	return nil
}

func checkRange(header string, w Want) error {
	m := regexp.MustCompile(`^bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)$`).FindStringSubmatch(header)
	if m == nil {
		return fail(BadAnswer, http.StatusPartialContent, "The server sent a part of %q without saying which (%q).", w.File.Path, clean(header))
	}
	from, _ := strconv.ParseInt(m[1], 10, 64)
	to, _ := strconv.ParseInt(m[2], 10, 64)
	if total, err := strconv.ParseInt(m[3], 10, 64); err == nil && total != w.File.Size {
		return changed(w, fmt.Sprintf("it has %d bytes", total))
	}
	if from != w.From || to >= w.To {
		return fail(BadAnswer, http.StatusPartialContent, "The server sent bytes %d-%d of %q where %d-%d were asked for.", from, to, w.File.Path, w.From, w.To-1)
	}
	return nil
}

func changed(w Want, how string) *Error {
	return fail(Changed, 0, "%q of %s is not what the hub's list says of commit %.12s: %s. Start the download again to take what is there now.",
		w.File.Path, w.Repo, w.Commit, how)
}

// strongETag is an ETag that If-Range takes; "": there is none.
func strongETag(h http.Header) string {
	etag := h.Get("ETag")
	if len(etag) > 200 || len(etag) < 2 || etag[0] != '"' || etag[len(etag)-1] != '"' {
		return ""
	}
	return etag
}
