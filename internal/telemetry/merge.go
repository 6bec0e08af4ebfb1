package telemetry

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ContentType is the text format that Merge writes.
func ContentType() string { return string(expfmt.NewFormat(expfmt.TypeTextPlain)) }

// Parse reads figures in the text format.
func Parse(r io.Reader) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(r)
		if err != nil {
			return nil, fmt.Errorf("read figures: %w", err)
		}
		out := make([]*dto.MetricFamily, 0, len(families))
		for _, f := range families {
			out = append(out, f)
		}
		return out, nil
	})
}

// Merge writes the figures of several processes as one document; each process's
// carry label with its name. Those that cannot be gathered are left out and given
// as the error, after the rest was written.
func Merge(w io.Writer, label string, parts map[string]prometheus.Gatherer) error {
	merged := map[string]*dto.MetricFamily{}
	var failed error
	for name, part := range parts {
		families, err := part.Gather()
		if err != nil {
			failed = fmt.Errorf("%s: %w", name, err)
		}
		for _, f := range families {
			add(merged, f, label, name)
		}
	}
	names := make([]string, 0, len(merged))
	for name := range merged {
		names = append(names, name)
	}
	slices.Sort(names)
	out := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, name := range names {
		f := merged[name]
		slices.SortFunc(f.Metric, func(a, b *dto.Metric) int { return cmp.Compare(a.String(), b.String()) })
		if err := out.Encode(f); err != nil {
			return fmt.Errorf("write figures: %w", err)
		}
	}
	return failed
}

func add(merged map[string]*dto.MetricFamily, f *dto.MetricFamily, label, name string) {
	for _, m := range f.Metric {
		m.Label = append(m.Label, &dto.LabelPair{Name: &label, Value: &name})
		slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	}
	have := merged[f.GetName()]
	if have == nil {
		merged[f.GetName()] = f
		return
	}
	if have.GetType() == f.GetType() { // releases may differ during an upgrade
		have.Metric = append(have.Metric, f.Metric...)
	}
}
