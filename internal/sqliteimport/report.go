package sqliteimport

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// maxExamples is how many rows a reason names.
const maxExamples = 5

// Report says what an import did, or would do.
type Report struct {
	Source    string         `json:"source"`
	DryRun    bool           `json:"dry_run"`
	Truncated []Emptied      `json:"truncated"` // target tables whose rows were removed first
	Tables    []*TableReport `json:"tables"`    // tables of the source, by name
	Target    []Written      `json:"target"`    // rows in the target afterwards, by table
	StartedAt time.Time      `json:"started_at"`
	Seconds   float64        `json:"seconds"`

	byName map[string]*TableReport
}

// TableReport is about one table of the source. Read is Written plus Skipped.
type TableReport struct {
	Table    string `json:"table"`
	Read     int64  `json:"read"`
	Written  int64  `json:"written"`  // became rows of our tables, or parts of them
	Skipped  int64  `json:"skipped"`  // did not
	Archived int64  `json:"archived"` // are kept whole in imported_row
	// Why rows were skipped, most frequent first.
	Reasons []*Reason `json:"reasons"`
	// What changed on the way, or needs somebody's eye.
	Notes []*Reason `json:"notes"`
}

// Reason groups rows.
type Reason struct {
	Text     string   `json:"text"`
	Rows     int64    `json:"rows"`
	Examples []string `json:"examples"` // ids in the source
}

// Emptied is a target table that was emptied.
type Emptied struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// Written is how many rows a target table holds.
type Written struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

func newReport(source string, dry bool, now time.Time) *Report {
	return &Report{Source: source, DryRun: dry, StartedAt: now, byName: map[string]*TableReport{}, Truncated: []Emptied{}, Tables: []*TableReport{}}
}

func (r *Report) table(name string) *TableReport {
	t := r.byName[name]
	if t == nil {
		t = &TableReport{Table: name, Reasons: []*Reason{}, Notes: []*Reason{}}
		r.byName[name] = t
	}
	return t
}

func (t *TableReport) written() {
	t.Read++
	t.Written++
}

func (t *TableReport) skipped(reason, id string) {
	t.Read++
	t.Skipped++
	t.Reasons = grouped(t.Reasons, reason, id)
}

func (t *TableReport) note(text, id string) { t.Notes = grouped(t.Notes, text, id) }

func grouped(list []*Reason, text, id string) []*Reason {
	i := slices.IndexFunc(list, func(r *Reason) bool { return r.Text == text })
	if i < 0 {
		list = append(list, &Reason{Text: text})
		i = len(list) - 1
	}
	r := list[i]
	r.Rows++
	if len(r.Examples) < maxExamples && id != "" && !slices.Contains(r.Examples, id) {
		r.Examples = append(r.Examples, id)
	}
	return list
}

// finish orders what was collected.
func (r *Report) finish(now time.Time) {
	r.Seconds = now.Sub(r.StartedAt).Seconds()
	r.Tables = slices.SortedFunc(maps.Values(r.byName), func(a, b *TableReport) int { return cmp.Compare(a.Table, b.Table) })
	for _, t := range r.Tables {
		for _, list := range [][]*Reason{t.Reasons, t.Notes} {
			slices.SortStableFunc(list, func(a, b *Reason) int { return cmp.Compare(b.Rows, a.Rows) })
		}
	}
}
