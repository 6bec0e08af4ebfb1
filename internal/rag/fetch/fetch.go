// Package fetch says what lies in a source now, and reads it. Its sub-packages know
// one kind of source each: local, git, drive.
//
// It must not know what becomes of the files, nor where sources are stored.
package fetch

import (
	"context"
	"io"
	"strings"
	"time"
)

// Item is a file as it lies in a source.
type Item struct {
	// Path is relative to the source, with slashes, valid UTF-8, without "." or "..".
	Path string
	Size int64 // bytes; of what Open gives where that is known, else what the source says
	// Fingerprint is cheap to get, and another one whenever the content may have changed:
	// "git:<blob id>", "stat:<mtime ns>:<size>", "drive:<md5 or version>".
	Fingerprint string
	ModifiedAt  time.Time // zero: the source does not say
	MediaType   string    // as the source names it; may be empty
}

// Skipped counts what a walk left out, and why.
type Skipped struct {
	Excluded   int `json:"excluded"`   // by patterns, or by folders that are never read
	TooLarge   int `json:"too_large"`  // by the limit of sizes
	Binary     int `json:"binary"`     // by their names: nothing here reads them
	Unreadable int `json:"unreadable"` // links that lead out, sockets, missing rights
	// Unlisted is what nothing could be learned of: unlike the rest, it may still be there.
	// The walk says nothing of what lies in it.
	Unlisted []Unlisted `json:"-"`
	// Examples are some of what could not be read, with the reason, for people.
	Examples []string `json:"examples,omitempty"`
}

// Unlisted is a file that could not be looked at, or a folder that could not be listed, or
// not whole. The path of a folder ends with a slash.
type Unlisted struct{ Path, Reason string }

// Everything is the path of the source's own folder.
const Everything = "/"

// Folder tells whether it is one.
func (u Unlisted) Folder() bool { return strings.HasSuffix(u.Path, "/") }

// Holds tells whether nothing is known of a path because of it.
func (u Unlisted) Holds(path string) bool {
	return u.Path == Everything || u.Path == path || (u.Folder() && strings.HasPrefix(path, u.Path))
}

// Tree is what a source held when it was synchronised. It does not change while it is
// read, as far as its kind can promise that.
type Tree interface {
	// Walk calls f for each file, in the order of the paths. An error of f ends it and is
	// returned as it is.
	Walk(ctx context.Context, f func(Item) error) (Skipped, error)
	// Open reads a file. The reader gives at most limit bytes and then fails with an error
	// of code too_large. Error: not_found when the file is gone.
	Open(ctx context.Context, item Item, limit int64) (io.ReadCloser, error)
	// Revision names the state, if the source has names for states: a commit.
	Revision() string
	// Close lets go of what the tree holds.
	Close() error
}

// Progress is told what a synchronisation does, in sentences for people.
type Progress func(message string)

// Fetcher is one source that can be read. Errors are those of internal/errs, with
// sentences that say what to do; they never carry a secret.
type Fetcher interface {
	// Check looks whether the source can be reached and read, without fetching it.
	Check(ctx context.Context) (Report, error)
	// Sync brings the source here as far as that is needed, and gives its tree.
	Sync(ctx context.Context, tell Progress) (Tree, error)
}

// Report is what a check found.
type Report struct {
	Message  string `json:"message"`            // for people
	Revision string `json:"revision,omitempty"` // commit that the branch is at
	Files    int    `json:"files,omitempty"`    // 0: not counted
}

// Selection says which files of a source are meant.
type Selection struct {
	Include      []string // patterns; empty: everything
	Exclude      []string // patterns, beside the folders that are never read
	MaxFileBytes int64    // for text
	MaxPDFBytes  int64    // for documents: PDF, and those of offices
}
