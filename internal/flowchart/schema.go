package flowchart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/llmctl/studio/internal/errs"
)

// schemaURL names a schema while it is compiled; nothing is ever fetched.
const schemaURL = "flowchart:schema"

// maxRefHops bounds how far a chain of references is followed.
const maxRefHops = 20

// noLoader refuses every schema that is not part of the text itself or one of
// the specification's own.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("the schema refers to %s; other documents are not loaded", url)
}

// compileSchema compiles a JSON Schema (2020-12 unless it says otherwise).
func compileSchema(raw json.RawMessage) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("the schema is no JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.AssertFormat()
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, schemaFault(err)
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		return nil, schemaFault(err)
	}
	return s, nil
}

// schemaFault tells the innermost fault of a schema in one line.
func schemaFault(err error) error {
	if inv, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if ve, ok := errors.AsType[*jsonschema.ValidationError](inv.Err); ok {
			leaves := leafFaults(ve, "schema", nil)
			return errors.New(leaves[0].Location + " " + leaves[0].Message)
		}
		err = inv.Err
	}
	return errors.New(strings.ReplaceAll(err.Error(), schemaURL, "schema"))
}

// ValidateInput checks a run's input against the start node's input_schema. An
// empty input counts as {}. Faults come as flow.invalid_input with one detail
// for each; a graph without a schema takes anything that is JSON.
func ValidateInput(g *Graph, input json.RawMessage) error {
	if len(bytes.TrimSpace(input)) == 0 {
		input = json.RawMessage("{}")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(input))
	if err != nil {
		return errs.E(errs.Invalid, "flow.invalid_input", "The input is no valid JSON.").With(err)
	}
	start, ok := g.Node(g.StartID())
	if !ok {
		return errs.E(errs.Invalid, "flow.invalid_graph", "The flowchart has no start node.")
	}
	cfg, err := DecodeStart(start.Config)
	if err != nil {
		return err
	}
	if isBlank(cfg.InputSchema) {
		return nil
	}
	schema, err := compileSchema(cfg.InputSchema)
	if err != nil {
		return errs.Ef(errs.Invalid, "flow.invalid_schema", "The start node's input schema is faulty: %s.", err)
	}
	err = schema.Validate(doc)
	if err == nil {
		return nil
	}
	ve, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return errs.E(errs.Invalid, "flow.invalid_input", "The input does not fit the flowchart's schema.").With(err)
	}
	return leafFaults(ve, rootInput, nil).error("flow.invalid_input", "The input does not fit the flowchart's schema")
}

// leafFaults lists the innermost faults, which say what to change.
func leafFaults(e *jsonschema.ValidationError, root string, f faults) faults {
	if len(e.Causes) == 0 {
		message := e.Error()
		if out := e.BasicOutput(); out.Error != nil {
			message = out.Error.String()
		}
		f.add(root+memberPath(e.InstanceLocation), "%s", message)
		return f
	}
	for _, c := range e.Causes {
		f = leafFaults(c, root, f)
	}
	return f
}

func memberPath(location []string) string {
	var b strings.Builder
	for _, m := range location {
		if _, err := strconv.Atoi(m); err == nil {
			b.WriteString("[" + m + "]")
		} else {
			b.WriteString("." + m)
		}
	}
	return b.String()
}

// undeclared gives the first member of a path that a schema is known to refuse:
// it is not among the properties of an object that takes no others.
func undeclared(s *jsonschema.Schema, path []string) (string, bool) {
	for _, member := range path {
		for hops := 0; s.Ref != nil && s.Properties == nil; hops++ {
			if hops == maxRefHops {
				return "", false // references in a circle declare nothing
			}
			s = s.Ref
		}
		next, declared := s.Properties[member]
		if !declared {
			return member, s.AdditionalProperties == false && len(s.PatternProperties) == 0
		}
		s = next
	}
	return "", false
}
