package document

import (
	"fmt"
	"time"
)

// The codes of errors.
const (
	TooLarge    = "too_large"   // more bytes, text, pages or unpacked data than the limits allow
	Unreadable  = "unreadable"  // damaged
	Encrypted   = "encrypted"   // protected by a password
	NoText      = "no_text"     // nothing to read in it, such as a scan
	Unsupported = "unsupported" // a format that no parser reads
	Timeout     = "timeout"     // takes longer than the limits allow
)

// Error is a file that cannot be read. Message goes on after the file's name.
type Error struct{ Code, Message string }

// Error gives code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

func errTooLarge(what string, limit int64) error {
	return &Error{TooLarge, fmt.Sprintf("has more than %d %s; no more are read.", limit, what)}
}

func errUnreadable(format string) error {
	return &Error{Unreadable, "is " + format + " that cannot be read: it is damaged, or of a kind that is not known here."}
}

func errUnpacked(format string) error {
	return &Error{TooLarge, "is " + format + " that unpacks to far more than its text can be."}
}

func errNoText(what string) error { return &Error{NoText, what} }

func errTimeout(after time.Duration) error {
	return &Error{Timeout, fmt.Sprintf("takes longer than %s to read.", after)}
}
