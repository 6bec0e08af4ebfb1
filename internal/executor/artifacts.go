package executor

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// Limits of the artifacts of one attempt.
const (
	MaxArtifacts      = 64
	MaxArtifactBytes  = 16 << 20 // of one
	MaxArtifactsBytes = 32 << 20 // of all
	MaxArtifactName   = 512
)

// CodeArtifacts is an attempt whose artifacts cannot be kept.
const CodeArtifacts = "artifacts"

// CheckArtifacts says which limit the artifacts of an attempt break, or which
// name cannot be kept; "" if they are fine. The sentence is for users.
func CheckArtifacts(artifacts []Artifact) string {
	if len(artifacts) > MaxArtifacts {
		return fmt.Sprintf("The node left %d artifacts; at most %d are kept. Pack them into one file.", len(artifacts), MaxArtifacts)
	}
	seen := make(map[string]bool, len(artifacts))
	var total int64
	for _, a := range artifacts {
		switch {
		case !cleanName(a.Name):
			return CheckArtifactName(a.Name)
		case seen[a.Name]:
			return fmt.Sprintf("There are two artifacts named %q.", a.Name)
		case a.length() < 0 || a.length() > MaxArtifactBytes:
			return tooLargeArtifact(a.Name, a.length())
		}
		seen[a.Name] = true
		total += a.length()
	}
	if total > MaxArtifactsBytes {
		return fmt.Sprintf("The artifacts of the node have %d bytes together; at most %d are kept.", total, MaxArtifactsBytes)
	}
	return ""
}

func tooLargeArtifact(name string, size int64) string {
	return fmt.Sprintf("The artifact %q has %d bytes; at most %d are kept.", name, size, MaxArtifactBytes)
}

// CheckArtifactName says what is wrong with the name of an artifact; "" if nothing is.
func CheckArtifactName(name string) string {
	if cleanName(name) {
		return ""
	}
	return fmt.Sprintf("An artifact cannot be named %q: a name is a relative path of at most %d bytes of UTF-8 without control characters.", name, MaxArtifactName)
}

func cleanName(name string) bool {
	return name != "" && len(name) <= MaxArtifactName && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) &&
		path.Clean("/"+name) == "/"+name
}
