package git

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// head is where a branch is.
type head struct {
	branch string
	commit string
}

// ref names it there; a default branch without a name is a commit that HEAD is at.
func (h head) ref() string {
	if h.branch == "HEAD" {
		return h.branch
	}
	return "refs/heads/" + h.branch
}

// ask finds out where the branch is.
func (f *Fetcher) ask(ctx context.Context, p program, c *connection) (head, error) {
	ctx, cancel := step(ctx, askTimeout)
	defer cancel()
	h := head{branch: f.o.Branch}
	patterns := []string{"HEAD"}
	if h.branch != "" {
		patterns = []string{"refs/heads/" + h.branch}
	}
	out, err := p.run(ctx, c.command("", append([]string{"ls-remote", "--symref", "--", c.url}, patterns...)...))
	if err != nil {
		return h, f.explain(ctx, f.remote, err)
	}
	for line := range strings.SplitSeq(string(out), "\n") {
		value, name, _ := strings.Cut(line, "\t")
		if target, ok := strings.CutPrefix(value, "ref: refs/heads/"); ok && name == "HEAD" && CheckBranch(target) == "" {
			h.branch = target
		} else if name == patterns[0] {
			h.commit = value
		}
	}
	if h.commit == "" {
		return h, f.noBranch(ctx, p, c, h.branch)
	}
	if h.branch == "" {
		h.branch = "HEAD"
	}
	return h, nil
}

// maxNamed is how many branches a sentence names.
const maxNamed = 10

// noBranch says which branches there are.
func (f *Fetcher) noBranch(ctx context.Context, p program, c *connection, wanted string) error {
	out, err := p.run(ctx, c.command("", "ls-remote", "--heads", "--", c.url))
	if err != nil {
		return f.explain(ctx, f.remote, err)
	}
	var names []string
	for line := range strings.SplitSeq(string(out), "\n") {
		if _, name, ok := strings.Cut(line, "\trefs/heads/"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	where := f.remote.u.Redacted()
	if len(names) == 0 {
		return errs.Ef(errs.NotFound, "rag.git_empty", "The repository %s has no commits.", where)
	}
	listed := strings.Join(names[:min(len(names), maxNamed)], ", ")
	if len(names) > maxNamed {
		listed += ", …"
	}
	if f.o.Branch == "" {
		return errs.Ef(errs.NotFound, "rag.git_no_branch",
			"The repository %s does not say which branch is its default (it names %q, which does not exist). Choose one: %s.", where, wanted, listed)
	}
	return errs.Ef(errs.NotFound, "rag.git_no_branch", "The repository %s has no branch %s. It was deleted or renamed; choose another one: %s.", where, wanted, listed)
}

// syncing is one synchronisation, under the copy's lock.
type syncing struct {
	f    *Fetcher
	c    cache
	tell func(string)
	// submodules is how many were met, in all repositories together.
	submodules int
}

// do fetches what is needed. A copy that turns out to be damaged is made anew, once.
func (s *syncing) do(ctx context.Context) (*tree, error) {
	conn, err := s.f.connect(ctx, s.c.program, s.f.remote, true)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	h, err := s.f.ask(ctx, s.c.program, conn)
	if err != nil {
		return nil, err
	}
	s.tell("The branch " + h.branch + " is at " + short(h.commit) + ".")
	sha256 := len(h.commit) == 64
	if err := s.c.ready(ctx, s.f.o.URL, sha256); err != nil {
		return nil, err
	}
	t, err := s.at(ctx, conn, h)
	s.submodules = 0
	if err == nil || !isDamage(err) || ctx.Err() != nil {
		return t, err
	}
	s.tell("The copy of the repository here is damaged; it is fetched anew.")
	if err := s.c.anew(ctx, s.f.o.URL, sha256); err != nil {
		return nil, err
	}
	return s.at(ctx, conn, h)
}

func (s *syncing) at(ctx context.Context, conn *connection, h head) (*tree, error) {
	if s.c.head(ctx) == h.commit {
		s.tell("Nothing was committed since the last time.")
	} else if err := s.fetchRef(ctx, conn, "+"+h.ref()+":"+headRef); err != nil {
		return nil, err
	}
	commit := s.c.head(ctx) // the branch may have moved since it was asked for
	if commit == "" {
		return nil, &failure{what: "rev-parse", stderr: "missing commit", cause: errors.New("the fetched commit is not there")}
	}
	files, err := s.list(ctx, commit)
	if err != nil {
		return nil, err
	}
	if err := s.c.tidy(ctx, localTime); err != nil {
		return nil, err
	}
	return newTree(s.c, s.f.o.Filter, commit, files), nil
}

// fetchRef brings one commit, without what was before it.
func (s *syncing) fetchRef(ctx context.Context, conn *connection, ref string) error {
	ctx, cancel := step(ctx, fetchTimeout)
	defer cancel()
	ctx, stop := s.c.watched(ctx, s.f.o.MaxBytes)
	defer stop()
	run := func(depth ...string) error {
		args := append([]string{"fetch", "--progress", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--force"}, depth...)
		c := conn.command(s.c.dir, append(args, "--", conn.url, ref)...)
		c.lines, c.time = seldom(s.tell, time.Now), fetchTimeout
		_, err := s.c.program.run(ctx, c)
		return err
	}
	err := run("--depth=1")
	if e, ok := errors.AsType[*failure](err); ok && contains(e.stderr, "dumb http transport does not support shallow") {
		err = run() // a server of plain files
	}
	if err == nil && s.c.size() > s.f.o.MaxBytes {
		err = &failure{what: "fetch", cause: errTooBig} // it was quicker than the watch
	}
	if errors.Is(err, errTooBig) {
		s.c.suspect() // what is too large must not stay
	}
	return err
}
