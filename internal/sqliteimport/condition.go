package sqliteimport

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/flowchart"
)

// Limits of a condition that is translated; what exceeds them is left to people.
const (
	maxConditionText = 2000
	maxPathSegments  = 12
)

// fidelity is how much of a condition's meaning its translation keeps.
type fidelity int

const (
	exact      fidelity = iota
	approached          // by meaning: the original searched all of the context
	neverTrue           // the original could not fulfil it either
	untranslated
)

// The three forms that the original reads, before it falls back to looking for
// the text anywhere.
var (
	comparison  = regexp.MustCompile(`^([A-Za-z0-9_.]+)\s*(==|!=)\s*(.+)$`)
	containment = regexp.MustCompile(`(?i)^([A-Za-z0-9_.]+)\s+contains\s+(.+)$`)
	barePath    = regexp.MustCompile(`^[A-Za-z0-9_.]+$`)
	bareWord    = regexp.MustCompile(`^[\pL\pN_.-]{1,100}$`)
	identifier  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// condition turns a condition text of the original into a CEL expression over
// our names. oneParent says that exactly one solid edge leads to the decision,
// so that the first upstream node is the latest one.
func condition(text string, oneParent bool) (expression string, how fidelity) {
	text = strings.TrimSpace(clean(text))
	if text == "" {
		return "false", exact // an empty condition is never fulfilled
	}
	if len(text) > maxConditionText {
		return "", untranslated
	}
	expression, how = translate(text, oneParent)
	if how == untranslated {
		return "", how
	}
	if _, err := flowchart.CompileCondition(expression); err != nil {
		return "", untranslated
	}
	return expression, how
}

func translate(text string, oneParent bool) (string, fidelity) {
	if m := comparison.FindStringSubmatch(text); m != nil {
		return overPath(m[1], oneParent, func(p path) string { return p.compared(m[2], unquoted(m[3])) })
	}
	if m := containment.FindStringSubmatch(text); m != nil {
		return overPath(m[1], oneParent, func(p path) string { return p.contains(unquoted(m[2])) })
	}
	if barePath.MatchString(text) {
		if expression, how := overPath(text, oneParent, path.truthy); how == exact || how == untranslated {
			return expression, how
		}
	}
	if bareWord.MatchString(text) {
		return routeOrText(text), approached
	}
	return "", untranslated
}

func overPath(text string, oneParent bool, f func(path) string) (string, fidelity) {
	p, how := mapPath(text, oneParent)
	if how == neverTrue {
		return "false", neverTrue
	}
	if how != exact {
		return "", how
	}
	return f(p), exact
}

func unquoted(s string) string {
	s = strings.TrimSpace(s)
	if n := len(s); n >= 2 && s[0] == s[n-1] && (s[0] == '"' || s[0] == '\'') {
		return s[1 : n-1]
	}
	return s
}

// path is a value in our scope: guards that must hold for it to exist, and the
// expression that reads it.
type path struct {
	guards []string
	value  string
}

// contextKeys are the members of the original's input context that have no
// counterpart in our scope.
func contextKeys() []string {
	return []string{
		"flowchart", "node", "upstream_nodes", "latest_upstream", "context_only_upstream_nodes", "dotted_upstream_nodes",
		"attachment_only_upstream_nodes", "trigger_sources", "trigger_sources_count", "pulled_dotted_sources",
		"pulled_dotted_source_count", "pulled_attachment_sources", "pulled_attachment_source_count", "propagated_attachments",
	}
}

// mapPath finds where a dotted path of the original's context lies in our scope.
func mapPath(text string, oneParent bool) (path, fidelity) {
	segments := slices.DeleteFunc(strings.Split(text, "."), func(s string) bool { return s == "" })
	if len(segments) == 0 || len(segments) > maxPathSegments {
		return path{}, untranslated
	}
	if len(segments) > 2 && segments[0] == "upstream_nodes" && segments[1] == "0" && oneParent {
		segments = append([]string{"latest_upstream"}, segments[2:]...)
	}
	joined := strings.Join(segments, ".")
	switch {
	case joined == "flowchart.id":
		return path{value: "run.flowchart_id"}, exact
	case joined == "flowchart.run_id":
		return path{value: "run.id"}, exact
	case joined == "latest_upstream.routing_state.route_key":
		return member([]string{"json", "route_key"}), exact
	case len(segments) > 2 && segments[0] == "latest_upstream" && segments[1] == "output_state":
		return member(outputMember(segments[2:])), exact
	case slices.Contains(contextKeys(), segments[0]):
		return path{}, untranslated
	default:
		return path{}, neverTrue // the context has no such member
	}
}

// outputMember renames the members of an output that are called otherwise here.
func outputMember(segments []string) []string {
	switch segments[0] {
	case "structured_output":
		return append([]string{"json"}, segments[1:]...)
	case "raw_output":
		return append([]string{"text"}, segments[1:]...)
	}
	return segments
}

// member reads a member path of the upstream output step by step. Like the original, it finds nothing
// where a step is missing or is no object.
func member(segments []string) path {
	p := path{value: "upstream"}
	for i, s := range segments {
		if i > 0 {
			kind := "map"
			if isIndex(s) {
				kind = "list"
			}
			p.guards = append(p.guards, "type("+p.value+") == "+kind)
		}
		switch {
		case isIndex(s) && i > 0:
			p.guards = append(p.guards, "size("+p.value+") > "+s)
			p.value += "[" + s + "]"
		case identifier.MatchString(s) && !reserved(s):
			p.value += "." + s
			p.guards = append(p.guards, "has("+p.value+")")
		default:
			p.guards = append(p.guards, strconv.Quote(s)+" in "+p.value)
			p.value += "[" + strconv.Quote(s) + "]"
		}
	}
	return p
}

func isIndex(s string) bool {
	return strings.Trim(s, "0123456789") == "" && len(s) <= 6 && (s == "0" || s[0] != '0')
}

func reserved(s string) bool {
	return slices.Contains([]string{
		"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
		"namespace", "null", "package", "return", "true", "var", "void", "while",
	}, s)
}

func (p path) all(more ...string) string {
	return strings.Join(append(slices.Clone(p.guards), more...), " && ")
}

// structured are the types that have no text of their own.
const structured = "[map, list, null_type]"

// compared compares as text, as the original does. What it wrote as True and
// False is true and false here.
func (p path) compared(operator, want string) string {
	value := "string(" + p.value + ")"
	if low := strings.ToLower(want); low == "true" || low == "false" {
		value, want = value+".lowerAscii()", low
	}
	literal := strconv.Quote(want)
	if operator == "!=" {
		return p.all(fmt.Sprintf("%s != null && (type(%s) in [map, list] || %s != %s)", p.value, p.value, value, literal))
	}
	return p.all(fmt.Sprintf("!(type(%s) in %s)", p.value, structured), value+" == "+literal)
}

// contains looks for text, whatever its case, in a text, a number or a list of
// texts.
func (p path) contains(want string) string {
	return p.all(fmt.Sprintf("(type(%s) == list ? %s.exists(x, type(x) == string && %s) : !(type(%s) in %s) && %s)",
		p.value, p.value, found("x", want), p.value, structured, found("string("+p.value+")", want)))
}

// found looks for text in a text whatever its case.
func found(value, want string) string {
	if strings.IndexFunc(want, func(r rune) bool { return r > 127 }) < 0 {
		return value + ".lowerAscii().contains(" + strconv.Quote(strings.ToLower(want)) + ")"
	}
	return value + ".matches(" + strconv.Quote("(?i)"+regexp.QuoteMeta(want)) + ")"
}

func (p path) truthy() string {
	return p.all(fmt.Sprintf("!(type(%s) in %s)", p.value, structured), `string(`+p.value+`).lowerAscii() in ["1", "true", "yes", "on"]`)
}

// routeOrText is fulfilled by a route key of that name, or by the word in the
// answer. The original looked for it in the whole of the node's context.
func routeOrText(word string) string {
	text := member([]string{"text"})
	return "(" + routeIs(word, true) + ") || (" + text.all("type("+text.value+") == string", found(text.value, word)) + ")"
}

// routeIs is fulfilled by a route key.
func routeIs(key string, anyCase bool) string {
	p := member([]string{"json", "route_key"})
	if anyCase && strings.IndexFunc(key, func(r rune) bool { return r > 127 }) < 0 {
		return p.all("type("+p.value+") == string", p.value+".lowerAscii() == "+strconv.Quote(strings.ToLower(key)))
	}
	return p.all("type("+p.value+") == string", p.value+" == "+strconv.Quote(key))
}

// undecided gives what stands in the place of a condition that could not be
// translated: its own text, so that the editor shows it where it has to be
// rewritten. Text that happens to be an expression is marked, because it meant
// something else.
func undecided(text string) string {
	text = strings.TrimSpace(clean(text))
	if _, err := flowchart.CompileCondition(text); err == nil || text == "" {
		return "rewrite this condition: " + text
	}
	return text
}
