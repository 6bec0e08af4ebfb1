package config

import "log/slog"

// Secret is a value that is never printed.
type Secret string

const redacted = "********"

// Reveal gives the value itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the value; an empty one shows that it is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the value in %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the value in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value in JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
