package telemetry

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Family is what a process says of one of its figures, whether or not there is a
// sample of it yet.
type Family struct {
	Name   string
	Help   string
	Labels []string
}

// Families lists the figures that are ours: those of the Go runtime and of the
// process come with the Prometheus library.
func (m *Metrics) Families() []Family {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		m.registry.Describe(descs)
	}()
	// The library keeps these to itself but for this form.
	form := regexp.MustCompile(`^Desc\{fqName: (".*?"), help: (".*"), unit: ".*?", constLabels: \{(.*?)\}, variableLabels: \{(.*)\}\}$`)
	var out []Family
	for d := range descs {
		parts := form.FindStringSubmatch(d.String())
		if parts == nil {
			continue
		}
		name, errName := strconv.Unquote(parts[1])
		help, errHelp := strconv.Unquote(parts[2])
		if errName != nil || errHelp != nil || strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		f := Family{Name: name, Help: help}
		for label := range strings.SplitSeq(parts[4], ",") {
			if label != "" {
				f.Labels = append(f.Labels, label)
			}
		}
		for pair := range strings.SplitSeq(parts[3], ",") {
			if label, _, ok := strings.Cut(pair, "="); ok {
				f.Labels = append(f.Labels, label)
			}
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Family) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
