package auth

import (
	"context"
	"slices"
)

// Role is what a user is.
type Role string

// The roles.
const (
	Admin  Role = "admin"
	Editor Role = "editor"
	Viewer Role = "viewer"
)

// Permission is what an operation needs. Open operations need none and have "".
type Permission string

// The permissions.
const (
	Open     Permission = "open"      // nobody has to be signed in
	SignedIn Permission = "signed_in" // anybody who is
	Read     Permission = "read"
	Write    Permission = "write" // flowcharts, runs
	Manage   Permission = "manage"
	Executor Permission = "executor" // the token of an attempt; no user has it
)

// Principal is who makes a request.
type Principal struct {
	UserID int64
	Email  string
	Role   Role
	Via    string // ViaSession or ViaKey
	// CredentialID is the number of that session or key: what it is known by without
	// its secret.
	CredentialID int64
}

// The kinds of credentials.
const (
	ViaSession = "session"
	ViaKey     = "api_key"
)

// May reports whether the principal has a permission.
func (p Principal) May(need Permission) bool {
	switch p.Role {
	case Admin:
		return need != Executor
	case Editor:
		return slices.Contains([]Permission{Open, SignedIn, Read, Write}, need)
	case Viewer:
		return slices.Contains([]Permission{Open, SignedIn, Read}, need)
	}
	return need == Open
}

type principalKey struct{}

// WithPrincipal puts the principal into a request's context.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From gives the principal of a request; ok is false for an open operation.
func From(ctx context.Context) (p Principal, ok bool) {
	p, ok = ctx.Value(principalKey{}).(Principal)
	return p, ok
}
