package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/llmctl/studio/internal/errs"
)

// SQLSTATE codes that mean something to us.
const (
	stateUniqueViolation      = "23505"
	stateForeignKeyViolation  = "23503"
	stateIntegrityViolation   = "23000"
	stateSerializationFailure = "40001"
	stateDeadlock             = "40P01"
	stateLockTimeout          = "55P03"
	stateUndefinedTable       = "42P01"
	stateBadEncoding          = "22021" // JSON may hold U+0000 and headers may hold any byte,
	stateUntranslatable       = "22P05" // a Postgres text may not
)

func pgError(err error) *pgconn.PgError {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e
	}
	return nil
}

func retryable(err error) bool {
	e := pgError(err)
	return e != nil && (e.Code == stateSerializationFailure || e.Code == stateDeadlock)
}

// IsUnique reports whether err is a violation of the named unique constraint or
// index.
func IsUnique(err error, constraint string) bool {
	e := pgError(err)
	return e != nil && e.Code == stateUniqueViolation && e.ConstraintName == constraint
}

// IsForeignKey reports whether err says that a row is still referred to, or
// refers to nothing.
func IsForeignKey(err error) bool {
	e := pgError(err)
	return e != nil && e.Code == stateForeignKeyViolation
}

// IsFinalState reports whether err came from the trigger that keeps endings
// immutable.
func IsFinalState(err error) bool {
	e := pgError(err)
	return e != nil && e.Code == stateIntegrityViolation && e.ConstraintName == "final_state"
}

// Wrap turns a Postgres error into an errs.Error where its kind is known, and
// leaves every other error as it is.
func Wrap(err error) error {
	e := pgError(err)
	if e == nil {
		if unreachable(err) {
			return errUnavailable().With(err)
		}
		return err
	}
	switch {
	case e.Code == stateUniqueViolation:
		return errs.E(errs.Conflict, "db.duplicate", "Something with that name exists already.").With(err)
	case e.Code == stateForeignKeyViolation:
		return errs.E(errs.Conflict, "db.in_use", "Something else still refers to this, or it refers to something that is gone.").With(err)
	case e.Code == stateLockTimeout:
		return errs.E(errs.Unavailable, "db.busy", "The database is busy. Try again in a moment.").With(err)
	case len(e.Code) == 5 && (e.Code[:2] == "08" || e.Code[:2] == "53" || e.Code[:2] == "57"):
		return errUnavailable().With(err)
	case e.Code == stateBadEncoding || e.Code == stateUntranslatable:
		return errs.E(errs.Invalid, "request.invalid_text", "A text holds a character that cannot be stored, such as U+0000. Remove it.").With(err)
	}
	return err
}

func errUnavailable() *errs.Error {
	return errs.E(errs.Unavailable, "db.unavailable", "The database is not available. Try again in a moment.")
}

// unreachable reports whether err says that there is no connection to be had.
func unreachable(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}
