// Package auth knows who somebody is and what they may do: users with roles,
// browser sessions, API keys, the first start's setup token.
//
// Secrets are stored hashed only: passwords with argon2id, tokens and keys (which
// are random) with SHA-256. Failed log-ins are counted in the database, so a limit
// holds whichever worker is asked.
package auth
