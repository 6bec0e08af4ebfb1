package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/fetch/local"
)

// Limits of a repository.
const (
	// DefaultMaxBytes is how large a copy may grow.
	DefaultMaxBytes = 4 << 30
	askTimeout      = time.Minute
	fetchTimeout    = time.Hour // the speed has a limit of its own
)

// errStep is that a step took too long.
var errStep = errors.New("it took too long")

// Options are one source.
type Options struct {
	DataDir    string // copies are in rag/git below it
	SourceID   int64  // names the copy; 0: the source is only checked
	URL        string
	Branch     string // "": the default one of the server
	Subfolder  string
	Submodules bool
	Token      string
	SSHKey     string
	Filter     *fetch.Filter
	Roots      local.Roots
	Resolver   Resolver
	MaxBytes   int64 // 0: DefaultMaxBytes
}

// Dir is where copies are below a data folder.
func Dir(dataDir string) string { return filepath.Join(dataDir, "rag", "git") }

// Fetcher is one repository.
type Fetcher struct {
	o      Options
	remote remote
}

// New makes a fetcher. Error: invalid when the address is none.
func New(o Options) (*Fetcher, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	full, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	o.DataDir = full
	r, problem := parse(o.URL, o.Roots)
	if problem != "" {
		return nil, errs.Ef(errs.Invalid, "rag.git_url", "The address of the repository %s.", problem)
	}
	return &Fetcher{o: o, remote: r}, nil
}

func (f *Fetcher) knownHosts() string { return filepath.Join(f.o.DataDir, "rag", "known_hosts") }

// program finds git, and writes the configuration that all calls have.
func (f *Fetcher) program(ctx context.Context) (program, error) {
	var p program
	found, err := exec.LookPath("git")
	if err != nil {
		return p, errs.E(errs.Unavailable, "rag.git_missing", "The program git is not installed where this runs. Install git 2.37 or newer (and ssh for ssh:// addresses).").With(err)
	}
	p = program{path: found, home: filepath.Join(Dir(f.o.DataDir), "home")}
	if err := os.MkdirAll(p.home, 0o700); err != nil {
		return p, fmt.Errorf("make folder for git: %w", err)
	}
	if err := p.configure(); err != nil {
		return p, fmt.Errorf("write git's configuration: %w", err)
	}
	return p, checkVersion(ctx, p)
}

// configure writes what git takes from a file only: it reads repositories of other
// users too. What those contain is not carried out, and Roots says which may be read.
func (p program) configure() error {
	const config = "[safe]\n\tdirectory = *\n"
	name := filepath.Join(p.home, "gitconfig")
	if text, err := os.ReadFile(name); err == nil && string(text) == config {
		return nil
	}
	tmp, err := os.CreateTemp(p.home, "gitconfig-") // several may do this at the same time
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(config)
	return errors.Join(err, tmp.Close(), os.Rename(tmp.Name(), name))
}

// checkVersion refuses a git that does not know how to be told addresses: it would
// resolve names itself.
func checkVersion(ctx context.Context, p program) error {
	out, err := p.run(ctx, command{args: []string{"version"}})
	if err != nil {
		return err
	}
	var major, minor int
	text := strings.TrimSpace(string(out))
	if _, err := fmt.Sscanf(text, "git version %d.%d", &major, &minor); err != nil || major < 2 || (major == 2 && minor < 37) {
		return errs.Ef(errs.Unavailable, "rag.git_old", "This machine has %s; 2.37 or newer is needed. Install a newer one.", text)
	}
	return nil
}

// Check implements fetch.Fetcher: it asks the server for its branches.
func (f *Fetcher) Check(ctx context.Context) (fetch.Report, error) {
	p, err := f.program(ctx)
	if err != nil {
		return fetch.Report{}, err
	}
	c, err := f.connect(ctx, p, f.remote, true)
	if err != nil {
		return fetch.Report{}, err
	}
	defer c.close()
	h, err := f.ask(ctx, p, c)
	if err != nil {
		return fetch.Report{}, err
	}
	text := fmt.Sprintf("The repository can be read. Its branch %s is at %s.", h.branch, short(h.commit))
	if f.o.Subfolder != "" {
		text += " Whether the folder " + f.o.Subfolder + " is there shows when it is indexed."
	}
	return fetch.Report{Revision: h.commit, Message: text}, nil
}

func short(commit string) string { return commit[:min(len(commit), 10)] }

// step bounds a part of the work.
func step(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, most, errStep)
}

// Sync implements fetch.Fetcher.
func (f *Fetcher) Sync(ctx context.Context, tell fetch.Progress) (fetch.Tree, error) {
	if f.o.SourceID <= 0 {
		return nil, errors.New("a source that is not stored has no copy")
	}
	p, err := f.program(ctx)
	if err != nil {
		return nil, err
	}
	s := &syncing{f: f, c: cache{dir: filepath.Join(Dir(f.o.DataDir), strconv.FormatInt(f.o.SourceID, 10)+".git"), program: p}, tell: tell}
	if s.tell == nil {
		s.tell = func(string) {}
	}
	unlock, err := s.c.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	t, err := s.do(ctx)
	if err != nil {
		return nil, f.explain(ctx, f.remote, err)
	}
	return t, nil
}
