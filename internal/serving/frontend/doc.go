// Package frontend passes requests on to the Studio's backend, for a process that
// serves the page itself: answers as they come, WebSockets, long polls.
//
// It decides nothing about requests: which ones it gets, and who is believed about
// where they come from, is settled before ([proxyfix]). Invariants: what the client
// sent reaches the backend as it was sent, Host included, so that the backend's
// origin checks hold; forwarded headers are ours, whatever the client wrote; a
// request is sent a second time only if the backend cannot have seen the first;
// memory for a request is bounded.
package frontend
