package git

import (
	"context"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// Limits of submodules.
const (
	maxSubmodules     = 50
	maxSubmoduleDepth = 3
)

// withSubmodules replaces submodules by the files that they have at the commit that the
// repository names. Those of another owner are fetched without the source's secret.
func (s *syncing) withSubmodules(ctx context.Context, from remote, commit, folder string, files []entry, depth int) ([]entry, error) {
	var found []entry
	out := slices.DeleteFunc(slices.Clone(files), func(e entry) bool {
		if e.mode != modeSubmodule || !s.f.o.Filter.Folder(e.path) {
			return false
		}
		found = append(found, e)
		return true
	})
	if len(found) == 0 {
		return files, nil
	}
	if s.submodules += len(found); s.submodules > maxSubmodules || depth == maxSubmoduleDepth {
		return nil, errs.Ef(errs.TooLarge, "rag.git_submodules",
			"The repository has more than %d submodules, or they lie deeper than %d in each other. Exclude some, or leave submodules off.", maxSubmodules, maxSubmoduleDepth)
	}
	addresses, err := s.addresses(ctx, commit)
	if err != nil {
		return nil, err
	}
	for _, e := range found {
		full := e.path
		if folder != "" {
			full = folder + "/" + e.path
		}
		inner, err := s.submodule(ctx, from, addresses[full], full, e.hash, depth)
		if err != nil {
			return nil, err
		}
		if len(out)+len(inner) > maxFiles {
			return nil, errs.Ef(errs.TooLarge, "rag.git_too_many_files", "The repository has more than %d files with its submodules. Exclude some, or leave submodules off.", maxFiles)
		}
		for _, i := range inner {
			i.path = e.path + "/" + i.path
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return out, nil
}

// addresses reads where submodules are, by their paths.
func (s *syncing) addresses(ctx context.Context, commit string) (map[string]string, error) {
	out, err := s.c.program.run(ctx, command{
		dir: s.c.dir, args: []string{"config", "--blob=" + commit + ":.gitmodules", "-z", "--get-regexp", `^submodule\..*\.(path|url)$`},
	})
	if err != nil {
		return nil, errs.E(errs.Invalid, "rag.git_submodules", "The repository has submodules, but its .gitmodules does not say where they are. Leave submodules off.").With(err)
	}
	paths, urls := map[string]string{}, map[string]string{}
	for item := range strings.SplitSeq(string(out), "\x00") {
		key, value, _ := strings.Cut(item, "\n")
		if name, ok := strings.CutSuffix(key, ".path"); ok {
			paths[name] = value
		} else if name, ok := strings.CutSuffix(key, ".url"); ok {
			urls[name] = value
		}
	}
	found := map[string]string{}
	for name, p := range paths {
		found[strings.TrimSuffix(p, "/")] = urls[name]
	}
	return found, nil
}

func (s *syncing) submodule(ctx context.Context, from remote, address, path, commit string, depth int) ([]entry, error) {
	r, problem := from.relative(address, s.f.o.Roots)
	if problem != "" {
		return nil, errs.Ef(errs.Invalid, "rag.git_submodules", "The address of the submodule %s %s. Exclude it, or leave submodules off.", path, problem)
	}
	s.tell("Submodule " + path + " at " + short(commit) + ".")
	if !s.has(ctx, commit) {
		along := s.f.remote.sameOwner(r)
		conn, err := s.f.connect(ctx, s.c.program, r, along)
		if err != nil {
			return nil, err
		}
		defer conn.close()
		if err := s.fetchRef(ctx, conn, "+"+commit+":refs/llmctl/submodules/"+commit); err != nil {
			return nil, s.explain(ctx, r, along, err)
		}
	}
	files, err := s.listTree(ctx, commit+"^{tree}")
	if err != nil {
		return nil, err
	}
	return s.withSubmodules(ctx, r, commit, "", files, depth+1)
}

// explain makes a sentence of why a submodule cannot be fetched.
func (s *syncing) explain(ctx context.Context, r remote, along bool, err error) error {
	err = s.f.explain(ctx, r, err)
	if errs.HasReason(err, "rag.git_refused") && !along {
		return errs.Ef(errs.Forbidden, "rag.git_refused",
			"The submodule %s wants a secret. That of the source goes along only to repositories of the same owner on the same server. Index the submodule as a source of its own, or exclude it.", r.u.Redacted()).With(err)
	}
	return err
}

// has tells whether the commit of a submodule was fetched before, whole.
func (s *syncing) has(ctx context.Context, commit string) bool {
	_, err := s.c.program.run(ctx, command{dir: s.c.dir, args: []string{"rev-parse", "--quiet", "--verify", "refs/llmctl/submodules/" + commit}})
	return err == nil
}
