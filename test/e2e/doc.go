// Package e2e tests the built program from the outside: over HTTP and Socket.IO,
// with the contracts and nothing else.
package e2e
