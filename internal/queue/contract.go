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

// Chat carries the turns of threads. It is no public queue: every worker that takes
// nodes takes turns as well, with slots of their own, since they only wait for others.
const Chat = "llmctl_studio.chat"

// Names lists the public names.
func Names() []string { return []string{Default, Downloads, RAGIndex, RAGDrive, RAGGit} }

func known(name string) bool { return name == Chat || slices.Contains(Names(), name) }

// riverName maps a public name to River's, which must not contain dots. Nothing
// else knows of the difference.
func riverName(public string) string { return strings.ReplaceAll(public, ".", "-") }
