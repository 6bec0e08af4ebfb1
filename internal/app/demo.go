package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/llm/demo"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/settings"
)

// ensureDemo adds the offline demo models, for answers and for retrieval, and two sample
// flowcharts, once: who deletes them does not get them back.
func ensureDemo(ctx context.Context, s *studio) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO setting (section, key, value) VALUES ('demo', 'installed', 'true') ON CONFLICT DO NOTHING`)
		if err != nil {
			return fmt.Errorf("note demo: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil
		}
		p, err := s.catalog.CreateProvider(ctx, tx, catalog.ProviderFields{Name: "Demo (offline, not a real model)", Kind: registry.Demo})
		if err != nil {
			return err
		}
		if err := demoRetrieval(ctx, tx, s.catalog, p.ID); err != nil {
			return err
		}
		m, err := s.catalog.CreateModel(ctx, tx, catalog.ModelFields{Name: "Demo model (offline, not a real model)", ProviderID: p.ID, Model: "demo"})
		if err != nil {
			return err
		}
		for _, sample := range samples(m.ID) {
			g, err := flowchart.Parse([]byte(sample.graph))
			if err != nil {
				return fmt.Errorf("sample %q: %w", sample.name, err)
			}
			if _, err := s.flowcharts.Create(ctx, tx, store.Fields{Name: sample.name, Description: sample.description}, g, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// demoRetrieval adds the model that embeds and ranks, and has retrieval use it unless
// it has a model already.
func demoRetrieval(ctx context.Context, tx *postgres.Tx, c *catalog.Catalog, providerID int64) error {
	m, err := c.CreateModel(ctx, tx, catalog.ModelFields{
		Name: demo.EmbeddingModelName, ProviderID: providerID, Model: demo.EmbeddingModelID, Config: json.RawMessage(`{"purpose":"embedding"}`),
	})
	if err != nil {
		return err
	}
	_, _, err = settings.Save(ctx, tx, 0, func(s *settings.Settings) {
		if s.EmbeddingModelID == nil {
			s.EmbeddingModelID = &m.ID
		}
	})
	return err
}

type sample struct{ name, description, graph string }

func samples(model int64) []sample {
	const schema = `{"type":"object","required":["text"],"additionalProperties":false,
		"properties":{"text":{"type":"string","title":"Your text","maxLength":100000}}}`
	return []sample{{
		name: "Sample: summarise a text", description: "Asks a model for a summary of your text. Press Run and paste something.",
		graph: fmt.Sprintf(`{"nodes":[
			{"id":"start","kind":"start","title":"Start","position":{"x":0,"y":120},"config":{"input_schema":%s}},
			{"id":"summary","kind":"task","title":"Summarise","position":{"x":260,"y":120},"config":{"prompt":"Summarise in three sentences:\n\n{{ input.text }}","model_id":%d}},
			{"id":"end","kind":"end","title":"End","position":{"x":520,"y":120},"config":{}}],
			"edges":[{"id":"e1","source":"start","target":"summary","mode":"solid"},{"id":"e2","source":"summary","target":"end","mode":"solid"}]}`, schema, model),
	}, {
		name: "Sample: two readers, a decision and a join", description: "Two questions about your text in parallel; a long text also gets an outline; then everything is put together.",
		graph: fmt.Sprintf(`{"nodes":[
			{"id":"start","kind":"start","title":"Start","position":{"x":0,"y":200},"config":{"input_schema":%[1]s}},
			{"id":"tone","kind":"task","title":"Tone","position":{"x":260,"y":40},"config":{"prompt":"What tone does this text have?\n\n{{ input.text }}","model_id":%[2]d}},
			{"id":"topic","kind":"task","title":"Topic","position":{"x":260,"y":200},"config":{"prompt":"What is this text about?\n\n{{ input.text }}","model_id":%[2]d}},
			{"id":"long","kind":"decision","title":"Long text?","position":{"x":260,"y":360},"config":{"conditions":[{"edge_id":"e5","expression":"size(input.text) > 200"}],"default_edge_id":"e6"}},
			{"id":"outline","kind":"task","title":"Outline","position":{"x":520,"y":320},"config":{"prompt":"Make an outline of this text:\n\n{{ input.text }}","model_id":%[2]d}},
			{"id":"report","kind":"task","title":"Report","position":{"x":780,"y":200},"config":{"prompt":"Write one paragraph from these notes.\n\nTone: {{ nodes.tone.text }}\n\nTopic: {{ nodes.topic.text }}\n\n{{ has(nodes.outline) ? \"Outline: \" + nodes.outline.text : \"The text is short.\" }}","model_id":%[2]d}},
			{"id":"end","kind":"end","title":"End","position":{"x":1040,"y":200},"config":{}}],
			"edges":[
			{"id":"e1","source":"start","target":"tone","mode":"solid"},{"id":"e2","source":"start","target":"topic","mode":"solid"},
			{"id":"e3","source":"start","target":"long","mode":"solid"},{"id":"e4","source":"tone","target":"report","mode":"solid"},
			{"id":"e5","source":"long","target":"outline","mode":"solid","label":"long"},{"id":"e6","source":"long","target":"report","mode":"solid","label":"short"},
			{"id":"e7","source":"topic","target":"report","mode":"solid"},{"id":"e8","source":"outline","target":"report","mode":"solid"},
			{"id":"e9","source":"report","target":"end","mode":"solid"}]}`, schema, model),
	}}
}
