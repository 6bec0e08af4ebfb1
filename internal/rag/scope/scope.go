// Package scope says, in SQL, which files a search sees: those that the visible revision of a source has, narrowed
// by the filters of the request. Every query of a search is built with it, so that no list can see another revision
// than the next.
//
// The package does not run queries and knows neither words nor vectors.
package scope

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
)

// ReasonFilter is the reason of a filter that cannot be used.
const ReasonFilter = "rag.filter_invalid"

// Limits of what a request may ask for.
const (
	maxValues = 50
	maxLength = 500
)

// Source is one revision of a source's index.
type Source struct {
	ID       int64
	Revision int64
}

// Filter narrows a search to files. Members that are empty do not narrow.
type Filter struct {
	Paths          []string // patterns; a file needs to match one
	Languages      []string
	Kinds          []string
	ModifiedAfter  *time.Time
	ModifiedBefore *time.Time
}

// Empty tells whether the filter lets every file pass.
func (f Filter) Empty() bool {
	return len(f.Paths) == 0 && len(f.Languages) == 0 && len(f.Kinds) == 0 && f.ModifiedAfter == nil && f.ModifiedBefore == nil
}

// Check answers with every fault of the filter at once: invalid, rag.filter_invalid.
func (f Filter) Check() error {
	var faults []errs.Detail
	for _, list := range []struct {
		name   string
		values []string
	}{{"paths", f.Paths}, {"languages", f.Languages}, {"kinds", f.Kinds}} {
		faults = append(faults, checkList("filters."+list.name, list.values)...)
	}
	if f.ModifiedAfter != nil && f.ModifiedBefore != nil && !f.ModifiedAfter.Before(*f.ModifiedBefore) {
		faults = append(faults, errs.Detail{Location: "filters.modified_before", Message: "lies not after modified_after, so no file can match"})
	}
	if len(faults) == 0 {
		return nil
	}
	return errs.E(errs.Invalid, ReasonFilter, "The filters cannot be used.", faults...)
}

func checkList(location string, values []string) []errs.Detail {
	if len(values) > maxValues {
		return []errs.Detail{{Location: location, Message: fmt.Sprintf("has %d values; at most %d are accepted", len(values), maxValues)}}
	}
	var faults []errs.Detail
	for i, v := range values {
		var message string
		switch {
		case v == "":
			message = "is empty"
		case len(v) > maxLength:
			message = fmt.Sprintf("has %d bytes; at most %d are accepted", len(v), maxLength)
		case !utf8.ValidString(v) || strings.ContainsRune(v, 0):
			message = "is no UTF-8 text, or has a zero byte"
		default:
			continue
		}
		faults = append(faults, errs.Detail{Location: location + "[" + strconv.Itoa(i) + "]", Message: message})
	}
	return faults
}

// Args collects the parameters of a statement.
type Args []any

// Add appends a parameter and gives its name in the statement.
func (a *Args) Add(value any) string {
	*a = append(*a, value)
	return "$" + strconv.Itoa(len(*a))
}

// Join gives what follows "rag_file f" in a FROM clause: the join that leaves the files which sources show and
// filter lets pass.
func Join(args *Args, sources []Source, filter Filter) string {
	ids, revisions := make([]int64, len(sources)), make([]int64, len(sources))
	for i, s := range sources {
		ids[i], revisions[i] = s.ID, s.Revision
	}
	var sql strings.Builder
	sql.WriteString(" JOIN unnest(" + args.Add(ids) + "::bigint[], " + args.Add(revisions) + "::bigint[]) AS shown (id, revision)" +
		" ON f.rag_source_id = shown.id AND f.from_revision <= shown.revision AND (f.to_revision IS NULL OR f.to_revision > shown.revision)")
	if len(filter.Paths) > 0 {
		patterns := make([]string, len(filter.Paths))
		for i, p := range filter.Paths {
			patterns[i] = Regexp(p)
		}
		sql.WriteString(" AND f.path ~ ANY (" + args.Add(patterns) + "::text[])")
	}
	if len(filter.Languages) > 0 {
		sql.WriteString(" AND lower(f.language) = ANY (" + args.Add(lower(filter.Languages)) + "::text[])")
	}
	if len(filter.Kinds) > 0 {
		sql.WriteString(" AND f.kind = ANY (" + args.Add(lower(filter.Kinds)) + "::text[])")
	}
	if filter.ModifiedAfter != nil {
		sql.WriteString(" AND f.modified_at >= " + args.Add(*filter.ModifiedAfter) + "::timestamptz")
	}
	if filter.ModifiedBefore != nil {
		sql.WriteString(" AND f.modified_at < " + args.Add(*filter.ModifiedBefore) + "::timestamptz")
	}
	return sql.String()
}

func lower(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.ToLower(v)
	}
	return out
}

// Regexp turns a pattern of paths into a regular expression of Postgres: * and ? do not match a slash, ** does, a
// pattern without a slash means a name in any folder, and one that ends with a slash everything below it. Whatever else
// is in it means itself.
func Regexp(pattern string) string {
	pattern = strings.TrimPrefix(pattern, "./")
	anywhere := !strings.Contains(strings.TrimSuffix(pattern, "/"), "/")
	pattern = strings.TrimPrefix(pattern, "/")
	if strings.HasSuffix(pattern, "/") {
		pattern += "**"
	}
	var out strings.Builder
	out.WriteString("^")
	if anywhere && !strings.HasPrefix(pattern, "**") {
		out.WriteString("(.*/)?")
	}
	for rest := pattern; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "**/"):
			out.WriteString("(.*/)?")
			rest = rest[3:]
		case strings.HasPrefix(rest, "**"):
			out.WriteString(".*")
			rest = rest[2:]
		case rest[0] == '*':
			out.WriteString("[^/]*")
			rest = rest[1:]
		case rest[0] == '?':
			out.WriteString("[^/]")
			rest = rest[1:]
		default:
			r, size := utf8.DecodeRuneInString(rest)
			out.WriteString(Literal(string(r)))
			rest = rest[size:]
		}
	}
	out.WriteString("$")
	return out.String()
}

// Literal escapes what means something in a regular expression of Postgres.
func Literal(text string) string {
	var out strings.Builder
	for _, r := range text {
		if strings.ContainsRune(`.^$*+?()[]{}|\-`, r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}
