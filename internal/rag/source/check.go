package source

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/fetch/drive"
	"github.com/llmctl/studio/internal/rag/fetch/git"
	"github.com/llmctl/studio/internal/rag/fetch/local"
)

// faults gathers what is wrong with an input, so that all of it is told at once.
type faults []errs.Detail

func (f *faults) add(member, format string, args ...any) {
	*f = append(*f, errs.Detail{Location: "body." + member, Message: fmt.Sprintf(format, args...)})
}

// note adds a problem, if there is one.
func (f *faults) note(member, problem string) {
	if problem != "" {
		f.add(member, "%s", problem)
	}
}

func (f *faults) err() error {
	if len(*f) == 0 {
		return nil
	}
	return errs.E(errs.Invalid, "rag.source_invalid", "The source cannot be saved like this.", (*f)...)
}

// check reports what is wrong with the fields, and writes them as they are stored.
func (f *Fields) check(roots local.Roots, bad *faults) {
	f.Name = strings.TrimSpace(f.Name)
	if n := utf8.RuneCountInString(f.Name); n == 0 || n > MaxName || strings.ContainsFunc(f.Name, unicode.IsControl) {
		bad.add("name", "has %d characters; accepted are 1 to %d, none of them a control character", n, MaxName)
	}
	checkPatterns("include", f.Include, bad)
	checkPatterns("exclude", f.Exclude, bad)
	f.Include, f.Exclude = orEmpty(f.Include), orEmpty(f.Exclude)
	if m := f.MaxFileBytes; m != nil && (*m < minFileBytes || *m > MaxFileBytes) {
		bad.add("max_file_bytes", "is %d; accepted are %d to %d, or null for that of the settings", *m, minFileBytes, MaxFileBytes)
	}
	f.checkForeign(bad)
	switch f.Kind {
	case rag.KindLocal:
		var problem string
		f.Path, problem = roots.Clean(f.Path)
		bad.note("path", problem)
	case rag.KindGit:
		f.checkGit(roots, bad)
	case rag.KindDrive:
		f.FolderID = strings.TrimSpace(f.FolderID)
		f.Endpoint = strings.TrimRight(strings.TrimSpace(f.Endpoint), "/")
		bad.note("folder_id", drive.CheckFolder(f.FolderID))
		bad.note("endpoint", drive.CheckEndpoint(f.Endpoint))
	default:
		bad.add("kind", "is %q; accepted are %s, %s and %s", f.Kind, rag.KindLocal, rag.KindGit, rag.KindDrive)
	}
}

func (f *Fields) checkGit(roots local.Roots, bad *faults) {
	var problem string
	f.URL, problem = git.CleanURL(f.URL, roots)
	bad.note("url", problem)
	f.Branch = strings.TrimSpace(f.Branch)
	bad.note("branch", git.CheckBranch(f.Branch))
	f.Subfolder, problem = git.CleanSubfolder(f.Subfolder)
	bad.note("subfolder", problem)
}

// checkForeign finds members that the kind has no use for.
func (f *Fields) checkForeign(bad *faults) {
	for _, m := range []struct {
		name, kind string
		given      bool
	}{
		{"path", rag.KindLocal, f.Path != ""},
		{"url", rag.KindGit, f.URL != ""},
		{"branch", rag.KindGit, f.Branch != ""},
		{"subfolder", rag.KindGit, f.Subfolder != ""},
		{"submodules", rag.KindGit, f.Submodules},
		{"folder_id", rag.KindDrive, f.FolderID != ""},
		{"endpoint", rag.KindDrive, f.Endpoint != ""},
	} {
		if m.given && m.kind != f.Kind {
			bad.add(m.name, "belongs to sources of the kind %s; leave it out", m.kind)
		}
	}
}

func checkPatterns(member string, list []string, bad *faults) {
	if len(list) > fetch.MaxPatterns {
		bad.add(member, "has %d patterns; at most %d are accepted", len(list), fetch.MaxPatterns)
		return
	}
	for i, p := range list {
		bad.note(fmt.Sprintf("%s[%d]", member, i), fetch.CheckPattern(p))
	}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// check finds out which secret a request gives, if any, and whether the source takes it.
func (g Given) check(f *Fields, bad *faults) (kind, value string) {
	for _, s := range g.each() {
		if s.value == nil || *s.value == "" {
			continue
		}
		if kind != "" {
			bad.add(s.kind, "is given beside %s; a source has one secret", kind)
			continue
		}
		kind, value = s.kind, *s.value
		bad.note(s.kind, secretProblem(f, s.kind, value))
	}
	return kind, value
}

func secretProblem(f *Fields, kind, value string) string {
	token, key := git.NeedsKey(f.URL)
	token, key = token && f.Kind == rag.KindGit, key && f.Kind == rag.KindGit
	switch {
	case kind == CredentialToken && !token:
		return "is taken by Git sources at https:// addresses only"
	case kind == CredentialSSHKey && !key:
		return "is taken by Git sources at ssh:// addresses only"
	case kind == CredentialAccount && f.Kind != rag.KindDrive:
		return "is taken by sources of the kind " + rag.KindDrive + " only"
	case kind == CredentialToken && (len(value) > maxToken || strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })):
		return fmt.Sprintf("must be one word of at most %d characters", maxToken)
	case kind == CredentialSSHKey:
		return git.CheckKey(value)
	case kind == CredentialAccount && len(value) > maxAccount:
		return fmt.Sprintf("has %d bytes; at most %d are accepted", len(value), maxAccount)
	case kind == CredentialAccount:
		return drive.CheckAccount(value)
	}
	return ""
}

// fits tells whether a stored secret is of a kind that the source still takes.
func fits(f *Fields, kind string) bool {
	token, key := git.NeedsKey(f.URL)
	switch kind {
	case CredentialToken:
		return f.Kind == rag.KindGit && token
	case CredentialSSHKey:
		return f.Kind == rag.KindGit && key
	}
	return true
}

// homeOf is what a secret was entered for.
func homeOf(f *Fields) string {
	if f.Kind == rag.KindGit {
		return git.Home(f.URL)
	}
	return f.Endpoint
}
