package chat

// complexity is how much an answer is to say.
type complexity struct {
	instruction string
	maxTokens   int
}

// Complexities are the names, from short to long.
func Complexities() []string { return []string{"low", "medium", "high", "extra_high"} }

// complexityOf maps a name; what is unknown is medium.
func complexityOf(name string) complexity {
	switch name {
	case "low":
		return complexity{"Answer briefly: a few sentences, no headings, no lists unless they are asked for.", 512}
	case "high":
		return complexity{"Answer thoroughly: explain the reasoning, name alternatives and their trade-offs, and give examples where they help.", 4096}
	case "extra_high":
		return complexity{"Answer exhaustively: treat every aspect in depth, with structure, worked examples, edge cases and a summary at the end.", 8192}
	default:
		return complexity{"Answer to the point, with as much explanation as is needed to understand and use the answer.", 2048}
	}
}
