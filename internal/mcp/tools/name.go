package tools

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// maxName is what all providers accept.
const maxName = 64

// ModelName is how models call a tool: letters, digits, _ and - only, at most 64.
// A name that had to be changed ends with a hash of what it was, so that two tools
// never share one.
func ModelName(server, tool string) string {
	full := server + "__" + tool
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, full)
	if name == full && len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(full))
	tail := "_" + hex.EncodeToString(sum[:4])
	return name[:min(len(name), maxName-len(tail))] + tail
}
