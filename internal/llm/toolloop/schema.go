package toolloop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas compiles each tool's schema once.
type schemas struct {
	compiled map[string]*jsonschema.Schema
}

func newSchemas() *schemas { return &schemas{compiled: map[string]*jsonschema.Schema{}} }

// check tells what is wrong with arguments; "" if nothing is. A schema that cannot
// be compiled leaves the judgement to the tool.
func (s *schemas) check(t *Tool, arguments string) string {
	dec := json.NewDecoder(strings.NewReader(arguments))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		return "The arguments are not one JSON object. Call the tool again with arguments that satisfy its schema."
	}
	if _, ok := v.(map[string]any); !ok {
		return "The arguments are not a JSON object. Call the tool again with arguments that satisfy its schema."
	}
	schema := s.of(t)
	if schema == nil {
		return ""
	}
	if err := schema.Validate(v); err != nil {
		text := strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "jsonschema ")), " ")
		if r := []rune(text); len(r) > 2000 {
			text = string(r[:2000]) + "…"
		}
		return fmt.Sprintf("The arguments do not satisfy the tool's schema: %s. Correct them and call the tool again.", text)
	}
	return ""
}

func (s *schemas) of(t *Tool) *jsonschema.Schema {
	key := t.Name + "\x00" + string(t.Schema)
	if c, ok := s.compiled[key]; ok {
		return c
	}
	c, err := compile(t.Schema)
	if err != nil {
		c = nil
	}
	s.compiled[key] = c
	return c
}

func compile(raw json.RawMessage) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	const name = "tool.json"
	if err := c.AddResource(name, doc); err != nil {
		return nil, err
	}
	return c.Compile(name)
}

// noLoader keeps a schema from reading files or addresses through $ref.
type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("references to %s are not followed", url)
}
