package sqliteimport

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/llmctl/studio/internal/blob"
)

// documents are the JSON columns of a node run; nil is null.
type documents struct {
	config, input, output, routing any
	blob                           []byte // of a large output, which is null then
	bytes                          *int64
	mode                           *string
}

// inlineBytes is how large an output may be to lie in its row, as for new ones.
const inlineBytes = 64 << 10

func (im *importer) documents(ctx context.Context, a *activity) (documents, error) {
	output := im.output(a)
	d := documents{mode: mode(a, output)}
	input := im.objectOf(a, a.main, "input_context_json")
	if prompt := a.promptOf(); prompt != "" && a.config == nil {
		if input == nil {
			input = map[string]any{}
		}
		if _, taken := input["config"]; !taken {
			input["config"] = map[string]any{"prompt": prompt}
		}
	}
	for _, part := range []struct {
		into *any
		from map[string]any
	}{{&d.config, a.config}, {&d.input, input}, {&d.output, output}, {&d.routing, im.objectOf(a, a.main, "routing_state_json")}} {
		if part.from == nil {
			continue
		}
		raw, err := encode(part.from)
		if err != nil {
			return d, fmt.Errorf("encode a document: %w", err)
		}
		*part.into = raw
	}
	return d, im.moveOut(ctx, &d)
}

// moveOut puts a large output where the engine puts them.
func (im *importer) moveOut(ctx context.Context, d *documents) error {
	raw, _ := d.output.(json.RawMessage)
	if len(raw) <= inlineBytes || len(raw) > blob.MaxBytes {
		return nil
	}
	hash, err := blob.Put(ctx, im.tx, raw)
	if err != nil {
		return err
	}
	size := int64(len(raw))
	d.output, d.blob, d.bytes = nil, hash, &size
	return nil
}

func (a *activity) promptOf() string {
	if a.task == nil || len(rawText(a.task["prompt"])) > maxValueBytes {
		return ""
	}
	return a.task.text("prompt")
}

// objectOf reads a column that should hold a JSON object. Anything else is kept
// in one.
func (im *importer) objectOf(a *activity, r row, column string) map[string]any {
	text := rawText(r[column])
	if strings.TrimSpace(text) == "" {
		return nil
	}
	if len(text) > maxValueBytes {
		im.rep.table(a.table).note("its "+column+" is too large and was left out", a.sid)
		return map[string]any{"omitted": column + " was too large to be imported", "bytes": len(text)}
	}
	v, err := document(text)
	if err != nil {
		im.rep.table(a.table).note("its "+column+" is no JSON and is kept as text", a.sid)
		return map[string]any{"text": clean(text)}
	}
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		return v
	case string:
		return map[string]any{"text": v}
	default:
		return map[string]any{"value": v}
	}
}

// output gives the output of an activity, with the names that outputs of our
// kinds have.
func (im *importer) output(a *activity) map[string]any {
	out := im.objectOf(a, a.main, "output_state_json")
	if out == nil && a.task != nil {
		out = im.taskOutput(a)
	}
	if out == nil || a.kind != "task" {
		return out
	}
	rename(out, "raw_output", "text")
	rename(out, "structured_output", "json")
	// The same logs once more: they are kept where logs are.
	delete(out, "task_stage_logs")
	return out
}

// taskOutput reads the output of a task: text, which may hold an object.
func (im *importer) taskOutput(a *activity) map[string]any {
	text := rawText(a.task["output"])
	switch {
	case strings.TrimSpace(text) == "":
		return nil
	case len(text) > maxValueBytes:
		im.rep.table(a.table).note("its output is too large and was left out", a.sid)
		return map[string]any{"omitted": "output was too large to be imported", "bytes": len(text)}
	}
	if v, err := document(text); err == nil {
		if m, ok := v.(map[string]any); ok {
			return m
		}
	}
	return map[string]any{"text": clean(text)}
}

func rename(m map[string]any, from, to string) {
	v, ok := m[from]
	if _, taken := m[to]; !ok || taken {
		return
	}
	delete(m, from)
	if v != nil {
		m[to] = v
	}
}

// mode gives the execution mode of retrieval work.
func mode(a *activity, output map[string]any) *string {
	text := textOf(output["mode"])
	if a.task != nil {
		switch a.task.trimmed("kind") {
		case "rag_quick_index":
			text = "fresh_index"
		case "rag_quick_delta_index":
			text = "delta_index"
		}
	}
	out := ""
	switch {
	case a.kind != "rag":
		return nil
	case text == "query":
		out = "query"
	case text == "fresh_index" || text == "indexing":
		out = "indexing"
	case text == "delta_index" || text == "delta_indexing":
		out = "delta_indexing"
	default:
		return nil
	}
	return &out
}
