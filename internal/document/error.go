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

	// These say how a parser ended, more than what the file is.

	TooSlow          = "document.too_slow"            // takes longer than the limits allow
	TooLargeInMemory = "document.too_large_in_memory" // takes more memory to read than a parser has
	ParserDied       = "document.parser_died"         // ended the process of its parser, or none could be had
)

// Error is a file that cannot be read. Message goes on after the file's name.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

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

// SlowError says that a file takes longer than its limit to read.
func SlowError(after time.Duration) *Error {
	return &Error{TooSlow, fmt.Sprintf("takes longer than %s to read.", after)}
}
