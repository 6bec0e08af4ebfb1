// Package web embeds the built page. dist holds only a placeholder until
// `make build` has built it; the server then says so.
package web

import "embed"

// Dist is the built page below "dist".
//
//go:embed all:dist
var Dist embed.FS
