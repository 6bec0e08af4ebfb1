package chunk

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// splitter cuts the units of a page at a time.
type splitter struct {
	path   string
	o      Options
	units  []unit
	prefix []int // sizes of the units before
	chunks []Chunk
	seen   map[[32]byte]int
}

func (s *splitter) tokens(from, to int) int { return (s.prefix[to] - s.prefix[from] + 3) / 4 }

// split cuts a range of units until each part is small enough, at its most natural
// place: between the sections that have the least in common, then between blocks, then
// between lines. Which of several is taken is up to their hashes, not to how much stands
// before, which is why a change moves no cuts elsewhere.
func (s *splitter) split(from, to int) {
	for from < to {
		at, whole := s.place(from, to)
		if whole {
			s.emit(from, to)
			return
		}
		s.split(from, at)
		from = at
	}
}

// place finds where a range is cut, or that it stays whole.
func (s *splitter) place(from, to int) (at int, whole bool) {
	if to-from == 1 {
		return 0, true
	}
	best := s.units[from+1].cut
	for i := from + 2; i < to; i++ {
		best = min(best, s.units[i].cut)
	}
	size := s.tokens(from, to)
	if best >= cutSection {
		if size <= s.o.TargetTokens {
			return 0, true
		}
		return s.within(from, to), false
	}
	if size <= s.o.merged() {
		return 0, true
	}
	return s.between(from, to, best), false
}

// between cuts between sections: first next to those that stand alone for their size, so
// that small ones stay together.
func (s *splitter) between(from, to, cut int) int {
	beside := map[int]bool{}
	start := from
	for i := from + 1; i <= to; i++ {
		if i < to && s.units[i].cut != cut {
			continue
		}
		if s.tokens(start, i) > s.o.merged() {
			beside[start], beside[i] = true, true
		}
		start = i
	}
	delete(beside, from)
	delete(beside, to)
	if len(beside) > 0 {
		return s.among(from, to, func(i int) bool { return beside[i] })
	}
	return s.among(from, to, func(i int) bool { return s.units[i].cut == cut })
}

// within cuts a section, somewhere in its middle half.
func (s *splitter) within(from, to int) int {
	total := s.prefix[to] - s.prefix[from]
	low, high := s.prefix[from]+total/4, s.prefix[to]-total/4
	best := -1
	for i := from + 1; i < to; i++ {
		if at := s.prefix[i]; at >= low && at <= high && (best < 0 || s.units[i].cut < s.units[best].cut) {
			best = i
		}
	}
	if best < 0 { // one unit is more than half of all
		return s.among(from, to, func(int) bool { return true })
	}
	cut := s.units[best].cut
	return s.among(from, to, func(i int) bool {
		return s.units[i].cut == cut && s.prefix[i] >= low && s.prefix[i] <= high
	})
}

// among takes the cut with the lowest hash; of equal ones the nearest to the middle.
func (s *splitter) among(from, to int, candidate func(int) bool) int {
	middle := (s.prefix[from] + s.prefix[to]) / 2
	best := -1
	for i := from + 1; i < to; i++ {
		if !candidate(i) {
			continue
		}
		if best < 0 || s.units[i].hash < s.units[best].hash ||
			s.units[i].hash == s.units[best].hash && abs(s.prefix[i]-middle) < abs(s.prefix[best]-middle) {
			best = i
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// emit makes a chunk of a range.
func (s *splitter) emit(from, to int) {
	from = s.overlap(from, to)
	first := &s.units[from]
	c := Chunk{Ordinal: len(s.chunks), LineStart: first.first, LineEnd: first.last, Page: first.page, Heading: first.heading}
	if from+1 < to {
		c.Heading = slices.Clone(c.Heading)
	}
	var b strings.Builder
	for i := from; i < to; i++ {
		u := &s.units[i]
		if i > from {
			b.WriteString(u.sep)
		}
		b.WriteString(u.text)
		c.LineStart, c.LineEnd = min(c.LineStart, u.first), max(c.LineEnd, u.last)
		common := 0
		for common < min(len(c.Heading), len(u.heading)) && c.Heading[common] == u.heading[common] {
			common++
		}
		c.Heading = c.Heading[:common]
	}
	c.Text = b.String()
	if strings.TrimSpace(c.Text) == "" { // white space between pieces of a line
		return
	}
	c.Tokens = Tokens(c.Text)
	c.Key = s.key(c.Text)
	c.Context = s.context(c.Heading, from, to)
	s.chunks = append(s.chunks, c)
}

// overlap goes back over units of the same section.
func (s *splitter) overlap(from, to int) int {
	start := from
	for start > 0 && s.units[start].cut >= cutSection && s.tokens(start-1, from) <= s.o.OverlapTokens && s.tokens(start-1, to) <= s.o.MaxTokens {
		start--
	}
	return start
}

// key hashes path, text and occurrence.
func (s *splitter) key(text string) string {
	h := sha256.New()
	h.Write([]byte(s.path))
	h.Write([]byte{0})
	for line := range strings.SplitSeq(text, "\n") {
		h.Write([]byte(strings.TrimRight(line, " \t\r")))
		h.Write([]byte{'\n'})
	}
	var sum [32]byte
	h.Sum(sum[:0])
	n := s.seen[sum]
	s.seen[sum] = n + 1
	if n > 0 {
		sum = sha256.Sum256(binary.BigEndian.AppendUint64(sum[:], uint64(n)))
	}
	return hex.EncodeToString(sum[:16])
}

// Bounds of contexts.
const (
	maxContextName  = 120
	maxContextNames = 6
)

// context renders where a chunk stands. Of several sections the names follow.
func (s *splitter) context(heading []string, from, to int) string {
	parts := []string{s.path}
	for i, h := range heading {
		if i >= maxContextNames && i < len(heading)-1 {
			continue
		}
		parts = append(parts, short(h))
	}
	var names []string
	for i := from; i < to && len(names) < maxContextNames; i++ {
		for _, path := range [][]string{s.units[i].opens, s.units[i].heading} {
			if len(path) > len(heading) && !slices.Contains(names, short(path[len(heading)])) {
				names = append(names, short(path[len(heading)]))
			}
		}
	}
	if len(names) > 0 {
		parts = append(parts, strings.Join(names, ", "))
	}
	if columns := s.units[from].columns; columns != "" {
		parts = append(parts, short(columns))
	}
	return strings.Join(strings.Fields(strings.Join(parts, " > ")), " ")
}

func short(s string) string {
	if len(s) > maxContextName {
		s = strings.ToValidUTF8(s[:maxContextName], "") + "…"
	}
	return s
}
