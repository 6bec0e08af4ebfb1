package git

import (
	"context"
	"errors"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// errTooBig is why a fetch was ended that grew too large.
var errTooBig = errors.New("the repository is too large")

// damaged are words by which git tells that the copy here is not as it should be.
func damaged() []string {
	return []string{
		"bad object", "corrupt", "missing blob", "missing tree", "missing commit", "unable to read tree", "not a git repository", "inflate", "bad signature",
		"is empty", "does not point to a valid object", "unresolved deltas", "pack has", "cannot be accessed", "invalid sha1", "shallow file has changed",
		"did not send all necessary objects", "loose object", "not a valid object name", "garbage at end",
	}
}

// isDamage tells whether the copy here is at fault, so that making it anew helps.
func isDamage(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && contains(f.stderr, damaged()...) && !contains(f.stderr, refused()...)
}

// refused are words by which servers tell that a secret is needed or wrong.
func refused() []string {
	return []string{
		"authentication failed", "could not read username", "could not read password", "http basic: access denied", "permission denied (",
		"returned error: 401", "returned error: 403", "invalid credentials", "terminal prompts disabled", "access denied",
	}
}

func contains(text string, words ...string) bool {
	text = strings.ToLower(text)
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// explain makes a sentence of what git said.
func (f *Fetcher) explain(ctx context.Context, r remote, err error) error {
	e, ok := errors.AsType[*failure](err)
	if _, known := errors.AsType[*errs.Error](err); known || !ok {
		return err
	}
	where := r.u.Redacted()
	switch {
	case errors.Is(err, errTooBig):
		return errs.Ef(errs.TooLarge, "rag.git_too_large",
			"What %s sends is larger than %d MiB, the limit of a repository. Index a smaller one, or have an administrator raise the limit.", where, f.o.MaxBytes>>20).With(err)
	case errors.Is(err, errStep):
		return errs.Ef(errs.Timeout, "rag.git_timeout", "%s did not answer in time. Try again, or check the network.", where).With(err)
	case errors.Is(err, errLocal):
		return errs.Ef(errs.Timeout, "rag.git_timeout", "Git needed more than %s for the copy of %s on this host. Look at the disk that the data folder is on, or index less of the repository.", localTime, where).With(err)
	case ctx.Err() != nil:
		return errors.Join(context.Cause(ctx), err)
	case contains(e.stderr, "cannot run ssh", "ssh: not found", "ssh: command not found"):
		return errs.E(errs.Unavailable, "rag.git_missing", "The program ssh is not installed where this runs; ssh:// addresses need it.").With(err)
	case contains(e.stderr, "host key verification failed", "remote host identification has changed"):
		return errs.Ef(errs.Forbidden, "rag.git_host_key",
			"The server %s shows another key than before: it was set up anew, or somebody stands in between. If that is right, have an administrator remove its line from known_hosts in the data folder.", r.u.Host).With(err)
	case contains(e.stderr, refused()...):
		return f.refusal(r, err)
	case contains(e.stderr, "not found", "returned error: 404", "does not appear to be a git repository", "does not exist", "no such file", "not a git repository"):
		return errs.Ef(errs.NotFound, "rag.git_not_found",
			"There is no repository at %s, or the secret that was given does not show it. Check the address and what the secret allows.", where).With(err)
	case contains(e.stderr, "redirect", "returned error: 301", "returned error: 302", "returned error: 307", "returned error: 308"):
		return errs.Ef(errs.Invalid, "rag.git_redirect", "%s redirects elsewhere, which is not followed. Enter the address that it redirects to.", where).With(err)
	case contains(e.stderr, "certificate", "ssl", "tls"):
		return errs.Ef(errs.Unavailable, "rag.git_certificate",
			"The certificate of %s is not trusted here: %s. Install its authority among those of the system.", where, f.said(e)).With(err)
	}
	return errs.Ef(errs.Unavailable, "rag.git_failed", "Git could not read %s: %s.", where, f.said(e)).With(err)
}

func (f *Fetcher) refusal(r remote, err error) error {
	token, key := NeedsKey(r.u.String())
	given := f.o.Token != "" || f.o.SSHKey != ""
	text := "wants a token. Give one that may read the repository"
	switch {
	case key && given:
		text = "refuses the SSH key. Register its public half there (as a deploy key, for example), or give another one"
	case key:
		text = "wants an SSH key. Give one that may read the repository"
	case token && given:
		text = "refuses the token: it has expired, or may not read this repository. Give another one, as user:token if the server wants a certain user"
	}
	return errs.Ef(errs.Forbidden, "rag.git_refused", "%s %s.", r.u.Redacted(), text).With(err)
}

// said are git's own words, without what must not be shown.
func (f *Fetcher) said(e *failure) string {
	text := e.stderr
	for _, secret := range []string{f.o.Token, basic(f.o.Token)} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	text = strings.TrimSpace(lastLines(text, 3))
	if text == "" {
		text = e.cause.Error()
	}
	return strings.TrimSuffix(text, ".")
}
