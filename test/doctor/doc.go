// Package doctor tests llmctl doctor against real nginx: each wrong configuration
// yields its own finding, a right one yields none. It needs bin/llmctl with the page
// (make build) and nginx.
package doctor
