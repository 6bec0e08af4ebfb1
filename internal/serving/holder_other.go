//go:build !linux

package serving

// holder is the process that has an address; only Linux tells.
type holder struct{ pid int }

// String completes the sentence "The address is taken".
func (holder) String() string { return "" }

func (holder) orphanOfOurs() bool { return false }

func holderOf(string) holder { return holder{} }
