// Package hub speaks with a model hub: what a revision is, which files it has,
// and the bytes of a file from an offset.
//
// It knows nothing of jobs, disks or databases. Invariants: the token goes to the
// origin of the endpoint and to no other, whatever redirects and page links say;
// every answer is bounded in size and in silence; a failure tells what it means
// and what to do, as an *Error.
package hub
