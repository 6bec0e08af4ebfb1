package sqliteimport

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	slashpath "path"
	"regexp"
	"strings"
)

// importSources takes the sources of retrieval over, with their ids, which nodes name.
// They come without an index and without secrets.
func (im *importer) importSources(ctx context.Context) error {
	const table = "rag_sources"
	if _, there := im.src.tables[table]; !there {
		return nil
	}
	im.rep.table(table)
	names := map[string]bool{}
	return im.src.each(ctx, table, func(r row) error {
		im.read(table)
		return im.importSource(ctx, r, names)
	})
}

func (im *importer) importSource(ctx context.Context, r row, names map[string]bool) error {
	const table = "rag_sources"
	t, sid := im.rep.table(table), im.sourceID(table, r)
	id, ok := r.id("id")
	kind, config, reason := sourceConfig(r)
	if !ok {
		reason = "its id is no positive number"
	}
	if reason != "" {
		return im.skip(ctx, table, r, reason)
	}
	name, changed := unique(cmp.Or(r.trimmed("name"), "Source "+sid), names)
	if changed {
		t.note("its name was taken already, or too long, and was changed", sid)
	}
	if n := r.trimmed("index_schedule_value"); n != "" && n != "0" {
		t.note("its schedule was not taken over, since the original never ran it: set one at the source", sid)
	}
	raw, err := encode(config)
	if err != nil {
		return fmt.Errorf("encode source %d: %w", id, err)
	}
	created, updated := im.created(table, sid, r)
	_, err = im.tx.Exec(ctx, `INSERT INTO rag_source (id, name, kind, config, created_at, updated_at)
		OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6)`, id, name, kind, raw, created, updated)
	if err != nil {
		return fmt.Errorf("write source %d: %w", id, err)
	}
	t.written()
	_, err = im.archive(ctx, table, r, "the original's row of a source that was taken over; it is indexed anew")
	return err
}

var githubRepo = regexp.MustCompile(`^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$`)

// sourceConfig says where a source is, or why that cannot be taken over.
func sourceConfig(r row) (kind string, config map[string]any, reason string) {
	switch r.trimmed("kind") {
	case "local":
		folder := clean(r.trimmed("local_path"))
		if !slashpath.IsAbs(folder) {
			return "", nil, "its folder is no path from the root"
		}
		return "local", map[string]any{"path": slashpath.Clean(folder)}, ""
	case "github":
		address, reason := repository(clean(r.trimmed("git_repo")))
		if reason != "" {
			return "", nil, reason
		}
		config := map[string]any{"url": address}
		if branch := clean(r.trimmed("git_branch")); branch != "" {
			config["branch"] = branch
		}
		if folder := strings.Trim(slashpath.Clean("/"+clean(r.trimmed("git_dir"))), "/"); folder != "" {
			config["subfolder"] = folder
		}
		return "git", config, ""
	case "google_drive":
		folder := clean(r.trimmed("drive_folder_id"))
		if folder == "" {
			return "", nil, "it names no folder of Drive"
		}
		return "google_drive", map[string]any{"folder_id": folder}, ""
	}
	return "", nil, fmt.Sprintf("its kind %q is unknown", short(r.trimmed("kind"), 40))
}

// repository gives the address of what the original kept as owner/name, or in full.
func repository(text string) (address, reason string) {
	if githubRepo.MatchString(text) {
		return "https://github.com/" + strings.TrimSuffix(text, ".git") + ".git", ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return "", "its repository is neither owner/name nor an https address"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", "" // a token may have stood there
	return u.String(), ""
}
