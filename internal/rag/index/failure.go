package index

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
)

// Codes of failures that end a run.
const (
	CodeBusy        = "source_busy"
	CodeGone        = "source_gone"
	CodeUnreachable = "source_unreachable"
	CodeTooMany     = "too_many_files"
	CodeAllFailed   = "all_files_failed"
	CodeEmbedder    = "embedder_refused" // the key, or the model
	CodeVectors     = "embedder_changed" // other dimensions in the middle of a run
	CodeSettings    = "retrieval_settings"
	CodeDeadly      = "workers_died"
	CodeStalled     = "stalled" // nothing happened for too long
	CodeInfra       = "infra"
)

// Codes of files that failed, beside those of the parsers.
const (
	FileChanged     = "changed_meanwhile"
	FileTooLarge    = "too_large"
	FileUnreadable  = "unreadable"
	FileEmbedding   = "embedding_refused"
	FileProvider    = "provider_unavailable"
	FileNotStorable = "not_storable"
	FileDeadly      = "worker_died"
	FileFolder      = "unreadable_folder" // of a folder
)

// codeWaiting is that of a run that waits for its provider.
const codeWaiting = "waiting_for_provider"

// Failure ends a run, or what the node run of it can do.
type Failure struct { //nolint:errname // as run and executor call it
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	Retryable bool           `json:"retryable"`
	Details   map[string]any `json:"details,omitempty"`
}

// Error makes it an error.
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

func failf(code, format string, a ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, a...)}
}

// FileError is why one file was not indexed. Message is a sentence for people.
type FileError struct{ Code, Message string }

// Error makes it an error.
func (e *FileError) Error() string { return e.Code + ": " + e.Message }

// errFenced says that the attempt may not write any more. It stops without a word:
// whoever took its right away says what becomes of the run.
var errFenced = errors.New("attempt may not write any more")

// errPaused ends the work for a source because somebody asked for a pause.
var errPaused = errors.New("pause requested")

// failureOf makes an error one that ends the run.
func failureOf(err error, code string) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*errs.Error](err); ok && e.Code != errs.Internal {
		retry := e.Code == errs.Unavailable || e.Code == errs.Timeout || e.Code == errs.RateLimited
		return &Failure{Code: code, Message: e.Message, Retryable: retry}
	}
	if e, ok := errors.AsType[*llm.Error](err); ok {
		return &Failure{Code: CodeEmbedder, Message: e.Message, Retryable: e.Retryable()}
	}
	return &Failure{Code: CodeInfra, Message: "Something went wrong that is no fault of the source: " + err.Error(), Retryable: true}
}

// databaseAway reports whether an error says that the database cannot be had, rather
// than that it refused.
func databaseAway(err error) bool {
	if errs.Is(postgres.Wrap(err), errs.Unavailable) {
		return true
	}
	if _, refused := errors.AsType[*pgconn.PgError](err); refused {
		return false
	}
	if _, ours := errors.AsType[*errs.Error](err); ours {
		return false
	}
	if _, ours := errors.AsType[*Failure](err); ours {
		return false
	}
	if _, theirs := errors.AsType[*llm.Error](err); theirs {
		return false
	}
	return !errors.Is(err, errFenced) && !errors.Is(err, errCrashed)
}

// persist calls f until the database answers, for as long as the options say.
func (s *Service) persist(ctx context.Context, what string, f func(ctx context.Context) error) error {
	const first, last = 50 * time.Millisecond, 2 * time.Second
	limited, stop := context.WithTimeout(ctx, s.o.DatabasePatience)
	defer stop()
	for pause := first; ; pause = min(2*pause, last) {
		err := f(ctx)
		if err == nil || ctx.Err() != nil || !databaseAway(err) {
			return err
		}
		s.o.Logger.WarnContext(ctx, "the database does not answer, trying again", "what", what, "error", err)
		if !sleep(limited, pause) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return &Failure{Code: CodeInfra, Retryable: true, Message: "The database was away for too long."}
		}
	}
}

// sleep reports whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// fenced is a transaction of an attempt: it changes nothing once the attempt may not
// write any more. There is one at a time, so that a stop order, which waits for the fence,
// gets its turn between two of them.
func (a *attempt) fenced(ctx context.Context, what string, f func(ctx context.Context, tx *postgres.Tx) error) error {
	return a.s.persist(ctx, what, func(ctx context.Context) error {
		a.fence.Lock()
		defer a.fence.Unlock()
		return a.s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			if err := a.s.hold(ctx, tx, a.req); err != nil {
				return err
			}
			return f(ctx, tx)
		})
	})
}

// errCrashed ends an attempt as the death of its process would.
var errCrashed = errors.New("attempt crashed")

func (s *Service) at(step string) error {
	if s.o.Tested == nil {
		return nil
	}
	if err := s.o.Tested.At(step); err != nil {
		return fmt.Errorf("%w: %w", errCrashed, err)
	}
	return nil
}
