package config

import (
	"regexp"
	"slices"
	"strings"
)

// retired are variables of older releases and of the original system that do
// nothing here, each with the reason.
func retired() map[string]string {
	return map[string]string{
		"LLMCTL_NODE_EXECUTOR_K8S_IMAGE":                     "use LLMCTL_NODE_EXECUTOR_K8S_FRONTIER_IMAGE and LLMCTL_NODE_EXECUTOR_K8S_VLLM_IMAGE",
		"LLMCTL_NODE_EXECUTOR_AGENT_RUNTIME_CUTOVER_ENABLED": "the strict rules are always on",
		"LLMCTL_STUDIO_SOCKETIO_ASYNC_MODE":                  "connections need no thread model here",
		"LLMCTL_STUDIO_REACT_ONLY_RUNTIME":                   "there is no other user interface",
		"LLMCTL_STUDIO_PREFERRED_URL_SCHEME":                 "the scheme is taken from the request or the trusted proxy",
		"LLMCTL_CELERY_WORKER_MODE":                          "llmctl worker and llmctl beat are commands of their own",
		"LLMCTL_MCP_TRANSPORT":                               "the MCP server always speaks streamable HTTP",
	}
}

// serviceVariable matches what Kubernetes makes of a service's name.
var serviceVariable = regexp.MustCompile(`^(.+?)_(SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// warnUnknown warns about variables that look like ours and are not.
func (l *loading) warnUnknown() {
	known := make([]string, 0, len(l.fields))
	for _, f := range l.fields {
		known = append(known, f.name)
	}
	old := retired()
	for _, name := range l.unknown(known) {
		message := "is not known"
		if why := old[name]; why != "" {
			message = "has no effect: " + why
		} else if near := nearest(name, known); near != "" {
			message = "is not known; did you mean " + near + "?"
		}
		l.warnings = append(l.warnings, Warning{Variable: name, Message: message})
	}
}

func (l *loading) unknown(known []string) []string {
	var unknown []string
	for name := range l.values {
		ours := strings.HasPrefix(name, "LLMCTL_") || strings.HasPrefix(name, "GUNICORN_")
		if !ours || strings.HasPrefix(name, "LLMCTL_TEST_") || slices.Contains(known, name) {
			continue
		}
		if m := serviceVariable.FindStringSubmatch(name); m != nil && l.values[m[1]+"_SERVICE_HOST"] != "" {
			continue
		}
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	return unknown
}

// nearest gives the known name with the smallest edit distance, unless even
// that one is so far away that naming it would mislead.
func nearest(name string, known []string) string {
	best, bestDistance := "", len(name)/3+1
	for _, candidate := range known {
		if d := distance(name, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
