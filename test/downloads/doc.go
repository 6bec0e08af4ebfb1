// Package downloads tests downloads with worker processes that are killed and
// frozen, against a hub that counts what it sends.
package downloads
