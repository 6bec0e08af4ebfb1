// Package tlsconf turns certificate files into TLS configurations: for a listener,
// with client certificates required when there is a CA for them, and for
// connections to a server behind us.
//
// Invariants: a configuration that is in use is replaced only by one that works
// (a failed [Server.Reload] leaves the old one); nothing below TLS 1.2; every error
// names the setting, the file and what to do. The package reads files and knows no
// environment: the names of settings are given to it.
package tlsconf
