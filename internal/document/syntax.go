package document

import (
	"regexp"
	"sync"
)

// family is how a language shows where a symbol ends.
type family int

const (
	byBraces    family = iota + 1 // at the brace that closes it
	byIndent                      // at the next line that is not indented more
	byEnd                         // at a line with a word or brace, indented as its first
	byStatement                   // at a semicolon
)

// syntax is what has to be known of a language to find its symbols.
type syntax struct {
	family   family
	comments []string  // signs of comments to the end of the line
	block    [2]string // signs around comments
	nested   bool      // such comments may be in each other
	quotes   string    // characters around strings that end with their line
	long     []string  // signs around strings that may have several lines
	chars    bool      // ' is around one character, or begins a lifetime
	regexps  bool      // /…/ are strings
	template bool      // `…${…}…` are strings
	hash     bool      // lines that begin with # are for a preprocessor
	heredoc  bool      // <<WORD … WORD are strings
	newlines bool      // statements may end with their line
	rules    []rule
	end      *regexp.Regexp // of byEnd
}

// rule knows a symbol by the text before its body; the groups that match are the
// name. A container has symbols of its own.
type rule struct {
	match     *regexp.Regexp
	container bool
	inside    bool // only within a container
	prefix    string
}

const (
	modifiers = `(?:(?:export|default|declare|abstract|async|public|private|protected|internal|static|final|override|virtual|sealed|partial|readonly|open|inline|extern|` +
		`unsafe|const|data|case|implicit|lazy|suspend|operator|mutating|fileprivate|indirect|external|pub(?:\([^)]*\))?|native|synchronized|strictfp|non-sealed|accessor|declare|tailrec|infix|inner|annotation|companion|actual|expect|new)\s+)*`
	annotations = `^(?:@[\w.]+(?:\([^)]*\))?\s*|#!?\[[^\]]*\]\s*|\[[^\]]*\]\s*)*`
)

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }

func cLike(rules ...rule) *syntax {
	return &syntax{family: byBraces, comments: []string{"//"}, block: [2]string{"/*", "*/"}, quotes: `"'`, rules: rules}
}

// syntaxes gives the languages whose symbols are found.
var syntaxes = sync.OnceValue(func() map[string]*syntax { //nolint:gochecknoglobals // a table
	m := map[string]*syntax{"sql": {family: byStatement, comments: []string{"--"}, block: [2]string{"/*", "*/"}, nested: true, quotes: ``, long: []string{`'`, `"`, "`"}}}
	addBraces(m)
	addTypes(m)
	addOthers(m)
	return m
})

func addBraces(m map[string]*syntax) {
	script := func() *syntax {
		s := cLike(
			rule{match: re(annotations + modifiers + `class\s+([\w$]+)`), container: true},
			rule{match: re(annotations + modifiers + `(?:namespace|module)\s+([\w$.]+)`), container: true},
			rule{match: re(annotations + modifiers + `(?:interface|enum|type)\s+([\w$]+)`)},
			rule{match: re(annotations + modifiers + `function\s*\*?\s*([\w$]+)`)},
			rule{match: re(annotations + modifiers + `(?:const|let|var)\s+([\w$]+)`)},
			rule{match: re(`^((?:module\.)?exports(?:\.[\w$]+)*)\s*=`)},
			rule{match: re(`^([\w$]+(?:\.[\w$]+)+)\s*=\s*(?:async\s+)?(?:function|\()`)},
			rule{match: re(`^(export\s+default)`)},
			rule{match: re(annotations + modifiers + `(?:get\s+|set\s+|\*\s*)?([\w$#]+)\s*[<(:=?]`), inside: true},
		)
		s.regexps, s.template, s.newlines = true, true, true
		return s
	}
	for _, language := range []string{"javascript", "jsx", "typescript", "tsx"} {
		m[language] = script()
	}
	c := cLike(
		rule{match: re(`^(?:inline\s+)?namespace\s*([\w:]*)\s*$`), container: true},
		rule{match: re(`^(extern)\s+"[^"]*"\s*$`), container: true},
		rule{match: re(`^(?:template\s*<.*>\s*)?(?:typedef\s+)?(?:class|struct|union)\s+(?:[A-Z_]+\s+|alignas\([^)]*\)\s*|\[\[[^\]]*\]\]\s*)*([\w:]+)(?:<[^(]*>)?\s*(?:final\s*)?(?::[^:].*)?$`), container: true},
		rule{match: re(`^(?:typedef\s+)?enum\s+(?:class\s+|struct\s+)?(\w+)`)},
		rule{match: re(`^(?:typedef\s+)?(enum|struct|union)\s*$`)},
		rule{match: re(`^[^=;(]*?\b(operator\s*[^\s\w(]+|operator\s*\(\)|operator\s+\w+)\s*\(`)},
		rule{match: re(`^(?:template\s*<.*>\s*)?[^=;()]*?(~?[A-Za-z_][\w:~<>,]*)\s*\(`)},
	)
	c.chars, c.hash = true, true
	m["c"], m["cpp"], m["objective-c"] = c, c, c
	rust := cLike(
		rule{match: re(annotations + modifiers + `(?:unsafe\s+)?impl\b\s*(?:<[^{]*?>\s+)?(.+)$`), container: true, prefix: "impl "},
		rule{match: re(annotations + modifiers + `(?:unsafe\s+|auto\s+)*trait\s+(\w+)`), container: true},
		rule{match: re(annotations + modifiers + `mod\s+(\w+)`), container: true},
		rule{match: re(annotations + modifiers + `(?:struct|enum|union)\s+(\w+)`)},
		rule{match: re(annotations + modifiers + `macro_rules!\s*(\w+)`)},
		rule{match: re(annotations + modifiers + `(?:extern\s+"[^"]*"\s+)?(?:unsafe\s+)?fn\s+(\w+)`)},
	)
	rust.chars, rust.nested, rust.quotes, rust.long = true, true, "", []string{`"`}
	m["rust"] = rust
	golang := cLike(
		rule{match: re(`^func\s*(?:\((?:\s*\w+\s)?\s*\*?\s*(\w+)[^)]*\)\s*)?(\w+)`)},
		rule{match: re(`^type\s+(\w+)`)},
	)
	golang.long, golang.newlines = []string{"`"}, true
	m["go"] = golang
}

func addTypes(m map[string]*syntax) {
	types := rule{match: re(annotations + modifiers + `(?:@interface|class|interface|enum(?:\s+class)?|record|struct|trait|protocol|extension|object|actor|mixin|namespace|contract|library)\s+([\w.$]+)`), container: true}
	method := rule{match: re(annotations + `[^=;]*?([\w$]+)\s*\(`)}
	java := func(rules ...rule) *syntax {
		s := cLike(append([]rule{types}, rules...)...)
		s.long, s.chars = []string{`"""`}, true
		return s
	}
	m["java"] = java(method)
	m["csharp"] = java(method, rule{match: re(annotations + modifiers + `[\w<>\[\],.?]+\s+(\w+)\s*$`), inside: true})
	m["csharp"].hash = true
	m["dart"] = java(method)
	m["solidity"] = java(method)
	m["groovy"] = java(method)
	m["kotlin"] = java(rule{match: re(annotations + modifiers + `fun\s+(?:<[^>]*>\s*)?(?:[\w.<>?,]+\.)?(\w+)`)}, rule{match: re(annotations + modifiers + `(constructor|init)\b`), inside: true})
	m["kotlin"].newlines, m["kotlin"].nested = true, true
	m["swift"] = java(rule{match: re(annotations + modifiers + `func\s+([^\s(<]+)`)}, rule{match: re(annotations + modifiers + `(init|deinit)\b`), inside: true})
	m["swift"].newlines, m["swift"].nested, m["swift"].chars, m["swift"].quotes = true, true, false, `"`
	m["scala"] = java(rule{match: re(annotations + modifiers + `def\s+([^\s(\[:]+)`)})
	m["scala"].newlines, m["scala"].nested = true, true
	m["php"] = cLike(types, rule{match: re(annotations + modifiers + `function\s+&?(\w+)`)})
	m["php"].comments, m["php"].long, m["php"].quotes = []string{"//", "#"}, []string{`'`, `"`}, ""
	head := rule{match: re(`^(.+)$`)}
	for _, language := range []string{"css", "scss", "protobuf", "graphql", "terraform", "thrift", "zig", "cue"} {
		m[language] = cLike(head)
	}
	m["terraform"].comments, m["graphql"].comments, m["thrift"].comments = []string{"#", "//"}, []string{"#"}, []string{"//", "#"}
	m["terraform"].newlines, m["graphql"].newlines, m["cue"].newlines, m["terraform"].heredoc = true, true, true, true
	m["css"].comments, m["graphql"].block = nil, [2]string{}
	m["graphql"].long = []string{`"""`}
}

func addOthers(m map[string]*syntax) {
	m["python"] = &syntax{family: byIndent, comments: []string{"#"}, quotes: `"'`, long: []string{`"""`, `'''`}, rules: []rule{
		{match: re(`^class\s+(\w+)`), container: true},
		{match: re(`^(?:async\s+)?def\s+(\w+)`)},
	}}
	m["ruby"] = &syntax{family: byEnd, comments: []string{"#"}, quotes: `"'`, heredoc: true, end: re(`^end\b`), rules: []rule{
		{match: re(`^(?:class|module)\s+(<<\s*self|[\w:]+)`), container: true},
		{match: re(`^(?:(?:private|protected|public|memoize)\s+)?def\s+((?:self\.)?[\w?!=\[\]<>+*/%&|^~-]+)`)},
	}}
	m["elixir"] = &syntax{family: byEnd, comments: []string{"#"}, quotes: `"`, long: []string{`"""`}, end: re(`^end\b`), rules: []rule{
		{match: re(`^(?:defmodule|defimpl|defprotocol)\s+([\w.]+)`), container: true},
		{match: re(`^(?:def|defp|defmacro|defmacrop)\s+([\w?!]+)[^:]*\bdo\s*$`)},
	}}
	m["lua"] = &syntax{family: byEnd, comments: []string{"--"}, block: [2]string{"--[[", "]]"}, quotes: `"'`, end: re(`^end\b`), rules: []rule{
		{match: re(`^(?:local\s+)?function\s+([\w.:]+)`)}, {match: re(`^(?:local\s+)?([\w.]+)\s*=\s*function`)},
	}}
	m["julia"] = &syntax{family: byEnd, comments: []string{"#"}, block: [2]string{"#=", "=#"}, quotes: `"`, long: []string{`"""`}, end: re(`^end\b`), rules: []rule{
		{match: re(`^module\s+(\w+)`), container: true}, {match: re(`^(?:function|macro|(?:mutable\s+)?struct)\s+([\w.!]+)`)},
	}}
	brace := re(`^[})]`)
	m["shell"] = &syntax{family: byEnd, comments: []string{"#"}, heredoc: true, end: brace, rules: []rule{
		{match: re(`^(?:function\s+)?([\w.:-]+)\s*\(\s*\)`)}, {match: re(`^function\s+([\w.:-]+)`)},
	}}
	m["perl"] = &syntax{family: byEnd, comments: []string{"#"}, heredoc: true, end: brace, rules: []rule{{match: re(`^sub\s+(\w+)`)}}}
	m["powershell"] = &syntax{family: byEnd, comments: []string{"#"}, block: [2]string{"<#", "#>"}, end: brace, rules: []rule{{match: re(`(?i)^(?:function|filter|class)\s+([\w:-]+)`)}}}
	m["r"] = &syntax{family: byEnd, comments: []string{"#"}, quotes: `"'`, end: brace, rules: []rule{{match: re(`^([\w.]+)\s*(?:<-|=)\s*function`)}}}
}
