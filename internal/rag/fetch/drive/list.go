package drive

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	drivev3 "google.golang.org/api/drive/v3"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
)

// Limits of a listing. They hold while it is read: what answers may be anybody.
const (
	maxFiles   = 200_000
	maxEntries = 2 * maxFiles // with folders, shortcuts and what nothing reads
	maxFolders = 50_000
	maxPages   = 10_000    // answers, of all folders together
	maxText    = 256 << 20 // bytes of what is kept of all of them
	maxName    = 255       // bytes of a name; longer ones are cut
	maxMark    = 200       // bytes of a type, a checksum or a time
	maxDepth   = 50
	pageSize   = 1000
	maxParents = 20 // folders that are asked for at once
	fields     = "nextPageToken, incompleteSearch, files(id, name, mimeType, md5Checksum, modifiedTime, createdTime, size, parents, capabilities/canListChildren)"
)

// export is what one of Google's documents is read as.
type export struct{ mime, ending string }

// exports gives it by type; false: it is no document, or one that nothing reads.
func exports(mime string) (export, bool) {
	const office = "application/vnd.openxmlformats-officedocument."
	e, ok := map[string]export{
		"application/vnd.google-apps.document":     {office + "wordprocessingml.document", ".docx"},
		"application/vnd.google-apps.spreadsheet":  {office + "spreadsheetml.sheet", ".xlsx"},
		"application/vnd.google-apps.presentation": {office + "presentationml.presentation", ".pptx"},
		"application/vnd.google-apps.script":       {"application/vnd.google-apps.script+json", ".json"},
	}[mime]
	return e, ok
}

const (
	googleTypes  = "application/vnd.google-apps."
	shortcutType = googleTypes + "shortcut"
)

// folder is one that is listed.
type folder struct {
	id, path string
	depth    int
}

// file is what is kept of one that was found.
type file struct {
	id, path, mime, md5, modified string
	size                          int64
	export                        export
}

// listing goes through the folders, several at a time.
type listing struct {
	f        *Fetcher
	tell     func(string)
	seen     map[string]bool // folders
	files    []file
	entries  int // of all kinds
	pages    int
	text     int // bytes that are kept
	excluded int // folders and shortcuts
	other    int // documents that nothing reads
	deep     []string
	unlisted []fetch.Unlisted
}

func (l *listing) all(ctx context.Context) error {
	waiting := []folder{{id: l.f.o.FolderID}}
	told := 0
	for len(waiting) > 0 {
		n := min(len(waiting), maxParents)
		next, err := l.folders(ctx, waiting[:n])
		if err != nil {
			return err
		}
		waiting = append(waiting[n:], next...)
		if len(l.files)-told >= pageSize {
			told = len(l.files)
			l.tell(fmt.Sprintf("%d files found, %d folders to go.", told, len(waiting)))
		}
	}
	slices.SortFunc(l.files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return nil
}

// folders lists what is in some folders, and gives the folders in them.
func (l *listing) folders(ctx context.Context, parents []folder) ([]folder, error) {
	terms := make([]string, len(parents))
	for i, p := range parents {
		terms[i] = "'" + p.id + "' in parents"
	}
	query := "(" + strings.Join(terms, " or ") + ") and trashed = false"
	found := make(map[string][]entry, len(parents))
	for _, p := range parents {
		found[p.id] = nil
	}
	incomplete := false
	for token := ""; ; {
		page, err := l.page(ctx, query, token)
		if err != nil {
			return nil, err
		}
		incomplete = incomplete || page.IncompleteSearch
		if err := l.take(page.Files, found); err != nil {
			return nil, err
		}
		if page.NextPageToken == "" {
			break
		}
		if page.NextPageToken == token {
			return nil, answerError("names the same page as the next one again and again")
		}
		token = page.NextPageToken
	}
	var next []folder
	for _, p := range parents {
		if incomplete {
			l.unlisted = append(l.unlisted, fetch.Unlisted{Path: cmp.Or(p.path, fetch.Everything), Reason: "Google has not searched all of it"})
		}
		inside, err := l.enter(p, found[p.id])
		if err != nil {
			return nil, err
		}
		next = append(next, inside...)
	}
	return next, nil
}

// page asks for a part of a listing.
func (l *listing) page(ctx context.Context, query, token string) (page *drivev3.FileList, err error) {
	if l.pages++; l.pages > l.f.bounds.pages {
		return nil, tooMany("is listed in more than %d parts", l.f.bounds.pages)
	}
	err = l.f.try(ctx, l.tell, func(ctx context.Context) (err error) {
		page, err = l.f.api.Files.List().Q(query).Fields(fields).PageSize(pageSize).PageToken(token).
			SupportsAllDrives(true).IncludeItemsFromAllDrives(true).Context(ctx).Do()
		return err
	})
	return page, err
}

func tooMany(format string, most int) error {
	return errs.Ef(errs.TooLarge, "rag.drive_too_many_files", "The folder "+format+". Choose one of those in it.", most)
}

// answerError is a server that does not speak as Drive does.
func answerError(what string) error {
	return errs.Ef(errs.Unavailable, "rag.drive_answer", "The server's answer cannot be used: it %s. Check the source's endpoint.", what)
}

// entry is what is kept of something in a folder.
type entry struct {
	id, name, mime, md5, modified, created string
	size                                   int64
	closed                                 bool // a folder that may not be listed
}

// take keeps what a page has of the folders that were asked for.
func (l *listing) take(files []*drivev3.File, found map[string][]entry) error {
	for _, f := range files {
		if l.entries++; l.entries > l.f.bounds.entries {
			return tooMany("has more than %d entries", l.f.bounds.entries)
		}
		if !folderID.MatchString(f.Id) || max(len(f.MimeType), len(f.Md5Checksum), len(f.ModifiedTime), len(f.CreatedTime)) > maxMark {
			return answerError("has an entry whose id, type, checksum or time is none")
		}
		e := entry{f.Id, cleanName(f.Name), f.MimeType, f.Md5Checksum, f.ModifiedTime, f.CreatedTime, f.Size, f.Capabilities != nil && !f.Capabilities.CanListChildren}
		for _, p := range f.Parents {
			list, asked := found[p]
			if !asked || slices.ContainsFunc(list[max(0, len(list)-1):], func(o entry) bool { return o.id == e.id }) {
				continue
			}
			if l.text += len(e.id) + len(e.name) + len(e.mime) + len(e.md5) + len(e.modified) + len(e.created); l.text > maxText {
				return tooMany("has names of more than %d bytes", maxText)
			}
			found[p] = append(list, e)
		}
	}
	return nil
}

// enter takes what is in a folder, the oldest first.
func (l *listing) enter(parent folder, found []entry) (next []folder, err error) {
	slices.SortFunc(found, func(a, b entry) int {
		if c := strings.Compare(a.created, b.created); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	names := numbering{}
	for _, f := range found {
		ex, exported := exports(f.mime)
		switch {
		case f.mime == shortcutType:
			l.excluded++
			continue
		case f.mime != folderType && !exported && strings.HasPrefix(f.mime, googleTypes):
			l.other++
			continue
		}
		full := parent.path + names.unique(f.name+ex.ending)
		if l.text += len(full); l.text > maxText {
			return nil, tooMany("has paths of more than %d bytes", maxText)
		}
		if f.mime != folderType {
			if len(l.files) == maxFiles {
				return nil, tooMany("has more than %d files", maxFiles)
			}
			l.files = append(l.files, file{id: f.id, path: full, mime: f.mime, md5: f.md5, modified: f.modified, size: f.size, export: ex})
			continue
		}
		switch {
		case !l.f.o.Filter.Folder(full) || l.seen[f.id]:
			l.excluded++
		case f.closed:
			l.unlisted = append(l.unlisted, fetch.Unlisted{Path: full + "/", Reason: "the service account may not list it"})
		case parent.depth == maxDepth:
			l.deep = append(l.deep, full)
		case len(l.seen) > maxFolders:
			return nil, tooMany("has more than %d folders", maxFolders)
		default:
			l.seen[f.id] = true
			next = append(next, folder{id: f.id, path: full + "/", depth: parent.depth + 1})
		}
	}
	return next, nil
}

// cleanName makes a part of a path of a name, which may be anything in Drive.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == unicode.ReplacementChar || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	if len(name) > maxName {
		ending := path.Ext(name)
		if len(ending) > maxName/4 {
			ending = ""
		}
		name = strings.ToValidUTF8(name[:maxName-len(ending)], "") + ending
	}
	if name == "" || name == "." || name == ".." {
		return "_" + name
	}
	return strings.Clone(name) // not the page that it was in
}

// numbering knows the names that are taken in a folder, and the last number of each.
type numbering map[string]int

// unique numbers a name that is taken.
func (taken numbering) unique(name string) string {
	n, found := taken[name]
	if !found {
		taken[name] = 1
		return name
	}
	ending := path.Ext(name)
	for n++; ; n++ {
		out := strings.TrimSuffix(name, ending) + " (" + strconv.Itoa(n) + ")" + ending
		if _, found := taken[out]; !found {
			taken[name], taken[out] = n, 1
			return out
		}
	}
}

func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
