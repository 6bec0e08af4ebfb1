// Package hubtest is a model hub for tests: the endpoints that a client of the real
// one uses, with its headers and its redirects to a delivery network, which is a
// server of its own. What is wrong with it is up to the test, and what it sent is
// counted.
package hubtest
