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

// Limits of a listing.
const (
	maxFiles   = 200_000
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

// file is one that was found.
type file struct {
	*drivev3.File
	path   string
	export export
}

// listing goes through the folders, several at a time.
type listing struct {
	f        *Fetcher
	tell     func(string)
	seen     map[string]bool // folders
	files    []file
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
		if len(l.files) > maxFiles {
			return errs.Ef(errs.TooLarge, "rag.drive_too_many_files", "The folder has more than %d files. Choose one of those in it.", maxFiles)
		}
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
	found := map[string][]*drivev3.File{}
	incomplete := false
	for token := ""; ; {
		var page *drivev3.FileList
		err := l.f.try(ctx, l.tell, func(ctx context.Context) (err error) {
			page, err = l.f.api.Files.List().Q(query).Fields(fields).PageSize(pageSize).PageToken(token).
				SupportsAllDrives(true).IncludeItemsFromAllDrives(true).Context(ctx).Do()
			return err
		})
		if err != nil {
			return nil, err
		}
		incomplete = incomplete || page.IncompleteSearch
		for _, f := range page.Files {
			for _, p := range f.Parents {
				found[p] = append(found[p], f)
			}
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	var next []folder
	for _, p := range parents {
		if incomplete {
			l.unlisted = append(l.unlisted, fetch.Unlisted{Path: cmp.Or(p.path, fetch.Everything), Reason: "Google has not searched all of it"})
		}
		next = append(next, l.entries(p, found[p.id])...)
	}
	return next, nil
}

// entries takes what is in a folder, the oldest first.
func (l *listing) entries(parent folder, found []*drivev3.File) (next []folder) {
	slices.SortFunc(found, func(a, b *drivev3.File) int {
		if c := strings.Compare(a.CreatedTime, b.CreatedTime); c != 0 {
			return c
		}
		return strings.Compare(a.Id, b.Id)
	})
	taken := map[string]bool{}
	for _, f := range found {
		ex, exported := exports(f.MimeType)
		switch {
		case f.MimeType == shortcutType:
			l.excluded++
			continue
		case f.MimeType != folderType && !exported && strings.HasPrefix(f.MimeType, googleTypes):
			l.other++
			continue
		}
		full := parent.path + unique(cleanName(f.Name)+ex.ending, taken)
		if f.MimeType != folderType {
			l.files = append(l.files, file{File: f, path: full, export: ex})
			continue
		}
		switch {
		case !l.f.o.Filter.Folder(full) || l.seen[f.Id]:
			l.excluded++
		case f.Capabilities != nil && !f.Capabilities.CanListChildren:
			l.unlisted = append(l.unlisted, fetch.Unlisted{Path: full + "/", Reason: "the service account may not list it"})
		case parent.depth == maxDepth:
			l.deep = append(l.deep, full)
		default:
			l.seen[f.Id] = true
			next = append(next, folder{id: f.Id, path: full + "/", depth: parent.depth + 1})
		}
	}
	return next
}

// cleanName makes a part of a path of a name, which may be anything in Drive.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == unicode.ReplacementChar || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	if name == "" || name == "." || name == ".." {
		return "_" + name
	}
	return name
}

// unique numbers a name that is taken in its folder.
func unique(name string, taken map[string]bool) string {
	out, ending := name, path.Ext(name)
	for n := 2; taken[out]; n++ {
		out = strings.TrimSuffix(name, ending) + " (" + strconv.Itoa(n) + ")" + ending
	}
	taken[out] = true
	return out
}

func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
