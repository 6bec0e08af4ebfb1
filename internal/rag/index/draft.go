package index

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// visibleFile is what the plan knows of a file that is indexed.
type visibleFile struct{ fingerprint, signature string }

// line is a line of the journal in the making.
type line struct {
	action string
	item   fetch.Item
	failed *FileError // already; nil: its turn comes
}

// draft is a plan in the making.
type draft struct {
	visible map[string]visibleFile
	fresh   bool
	all     bool // what is indexed was made otherwise: each file counts as changed
	only    map[string]bool
	cutter  string
	deadly  map[string]string // fingerprints of files that took their workers down

	lines                                        []line
	found, added, changed, removed, kept, failed int32
}

// maxDeadlyKnown is how many files are remembered that took their workers down.
const maxDeadlyKnown = 10_000

// draft compares what the source has with what is indexed.
func (a *attempt) draft(ctx context.Context, t *target) (*draft, fetch.Skipped, error) {
	d := &draft{fresh: t.run.Mode == rag.Fresh, cutter: a.setup.Cutter.Signature()}
	d.all = !same(t.source.RagEmbedderID, a.embedderID)
	if err := a.s.persist(ctx, "load what is indexed", func(ctx context.Context) error { return a.load(ctx, t, d) }); err != nil {
		return nil, fetch.Skipped{}, err
	}
	if d.all && len(d.visible) > 0 && !d.fresh {
		d.only = nil // what is kept would have no vectors of the new one
		a.report.logf("The embedding model is another one than before: every file is indexed again.")
	}
	skipped, err := t.tree.Walk(ctx, func(item fetch.Item) error {
		a.beat()
		return d.add(item)
	})
	if err != nil {
		return nil, skipped, err
	}
	d.rest(skipped.Unlisted)
	return d, skipped, nil
}

// load fills in what is known of the source's files.
func (a *attempt) load(ctx context.Context, t *target, d *draft) error {
	files, err := a.s.q.VisibleFiles(ctx, a.s.o.DB, dbsqlc.VisibleFilesParams{RagSourceID: t.source.ID, IndexRevision: t.source.IndexRevision})
	if err != nil {
		return fmt.Errorf("load files of source %d: %w", t.source.ID, err)
	}
	d.visible = make(map[string]visibleFile, len(files))
	for _, f := range files {
		d.visible[f.Path] = visibleFile{f.Fingerprint, f.Signature}
	}
	if t.run.OnlyFailedOf != nil {
		return a.loadFailed(ctx, *t.run.OnlyFailedOf, d)
	}
	if d.fresh {
		return nil
	}
	deadly, err := a.s.q.DeadlyFiles(ctx, a.s.o.DB, dbsqlc.DeadlyFilesParams{RagSourceID: t.source.ID, ErrorCode: FileDeadly, MaxRows: maxDeadlyKnown})
	if err != nil {
		return fmt.Errorf("load files of source %d that took workers down: %w", t.source.ID, err)
	}
	d.deadly = make(map[string]string, len(deadly))
	for _, f := range deadly {
		d.deadly[f.Path] = f.Fingerprint
	}
	return nil
}

func (a *attempt) loadFailed(ctx context.Context, id int64, d *draft) error {
	paths, err := a.s.q.FailedPaths(ctx, a.s.o.DB, id)
	if err != nil {
		return fmt.Errorf("load what failed in index run %d: %w", id, err)
	}
	d.only = make(map[string]bool, len(paths))
	for _, p := range paths {
		d.only[p] = true
	}
	return nil
}

// meant reports whether a file is one that the run is for.
func (d *draft) meant(path string) bool { return d.only == nil || under(d.only, path) }

// under reports whether a set of files and folders, which end with a slash, has a path or
// a folder that it lies in.
func under(set map[string]bool, path string) bool {
	if len(set) == 0 {
		return false
	}
	if set[path] || set[fetch.Everything] {
		return true
	}
	for i, r := range path {
		if r == '/' && set[path[:i+1]] {
			return true
		}
	}
	return false
}

// add is told each file of the source.
func (d *draft) add(item fetch.Item) error {
	if item.Path == "" || !utf8.ValidString(item.Path) || strings.ContainsRune(item.Path, 0) {
		return failf(CodeUnreachable, "The source has a file with a name that cannot be stored: %q.", item.Path)
	}
	if d.found++; d.found > maxFiles {
		return failf(CodeTooMany, "The source has more than %d files. Leave some out by patterns, or divide it.", maxFiles)
	}
	seen, known := d.visible[item.Path]
	delete(d.visible, item.Path)
	switch {
	case !d.meant(item.Path):
		d.kept++
	case !known:
		d.added++
		d.plan(actionAdd, item)
	case d.only != nil || d.fresh || d.all || item.Fingerprint == "" || seen.fingerprint != item.Fingerprint || seen.signature != d.cutter:
		d.changed++
		d.plan(actionChange, item)
	default:
		d.kept++
	}
	return nil
}

// plan adds a line. A file that took its workers down, and is as it was then, is left out
// right away: it would do so on each schedule.
func (d *draft) plan(action string, item fetch.Item) {
	l := line{action: action, item: item}
	if was, deadly := d.deadly[item.Path]; deadly && was == item.Fingerprint && item.Fingerprint != "" {
		d.failed++
		l.failed = &FileError{FileDeadly, "The file has taken its workers down in an index run before, and has not changed since. It is left out; to try it again, try the failed files again."}
	}
	d.lines = append(d.lines, l)
}

// rest plans the removal of what the source does not have any more. What lies in a folder
// that could not be listed may still be there: it is kept, and the folder has failed.
func (d *draft) rest(unlisted []fetch.Unlisted) {
	closed := make(map[string]bool, len(unlisted))
	for _, u := range unlisted {
		closed[u.Path] = true
	}
	below := make(map[string]int32, len(unlisted))
	for path := range d.visible {
		switch {
		case under(closed, path):
			d.kept++
			for _, u := range unlisted {
				if u.Holds(path) {
					below[u.Path]++
					break
				}
			}
		case d.meant(path):
			d.removed++
			d.lines = append(d.lines, line{action: actionRemove, item: fetch.Item{Path: path}})
		}
	}
	for _, u := range unlisted {
		d.unlisted(u, below[u.Path])
	}
}

// unlisted adds a line for something that could not be listed.
func (d *draft) unlisted(u fetch.Unlisted, kept int32) {
	if d.only != nil && !d.concerns(u) {
		return
	}
	l := line{action: actionAdd, item: fetch.Item{Path: u.Path}, failed: &FileError{FileUnreadable, fmt.Sprintf(
		"Nothing can be learned of the file (%s). What is indexed of it stays.", u.Reason)}}
	if u.Folder() {
		l.failed = &FileError{FileFolder, fmt.Sprintf(
			"The folder cannot be listed (%s). What is indexed of the files in it stays: %d. Give the Studio the right to read it, or exclude it.", u.Reason, kept)}
	}
	if kept > 0 {
		l.action = actionChange
		d.changed++
	} else {
		d.added++
	}
	d.failed++
	d.lines = append(d.lines, l)
}

// concerns reports whether one of the files that the run is for lies in what could not be
// listed, or the other way round.
func (d *draft) concerns(u fetch.Unlisted) bool {
	if under(d.only, u.Path) {
		return true
	}
	for path := range d.only {
		if u.Holds(path) {
			return true
		}
	}
	return false
}
