package queue

import (
	"slices"
	"strings"
)

// The public names of the queues (the seed's contract).
const (
	Default   = "llmctl_studio"
	Downloads = "llmctl_studio.downloads.huggingface"
	RAGIndex  = "llmctl_studio.rag.index"
	RAGDrive  = "llmctl_studio.rag.drive"
	RAGGit    = "llmctl_studio.rag.git"
)

// Names lists the public names.
func Names() []string { return []string{Default, Downloads, RAGIndex, RAGDrive, RAGGit} }

func known(public string) bool { return slices.Contains(Names(), public) }

// riverName maps a public name to River's, which must not contain dots. Nothing
// else knows of the difference.
func riverName(public string) string { return strings.ReplaceAll(public, ".", "-") }
