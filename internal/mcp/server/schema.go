package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	infer "github.com/google/jsonschema-go/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/llmctl/studio/internal/errs"
)

// Tags of a tool's input, besides json and jsonschema (the description): min and
// max bound a number, a text's or a list's length, enum lists what is accepted.

// anyJSON is the schema of what has none. It is an object with something in it:
// clients refuse the boolean schema `true` as the schema of a member.
func anyJSON() *infer.Schema { return &infer.Schema{Description: "Any JSON value"} }

func inferOptions() *infer.ForOptions {
	return &infer.ForOptions{TypeSchemas: map[reflect.Type]*infer.Schema{
		reflect.TypeFor[json.RawMessage](): anyJSON(),
		reflect.TypeFor[any]():             anyJSON(),
		reflect.TypeFor[time.Time]():       {Type: "string", Format: "date-time"},
	}}
}

func inputSchema[In any](l limits) (json.RawMessage, *jsonschema.Schema, error) {
	s, err := infer.For[In](inferOptions())
	if err != nil {
		return nil, nil, fmt.Errorf("input schema: %w", err)
	}
	tidy(s, false)
	for f := range fieldsOf(reflect.TypeFor[In]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if p := s.Properties[name]; p != nil {
			constrain(p, f.Tag)
		}
	}
	if p := s.Properties["limit"]; p != nil {
		p.Maximum, p.Minimum = number(l.most), number(1)
		p.Default = json.RawMessage(strconv.Itoa(l.usual))
	}
	if s.Properties == nil {
		s.Properties = map[string]*infer.Schema{} // some clients want it
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, nil, fmt.Errorf("encode input schema: %w", err)
	}
	compiled, err := compile(raw)
	return raw, compiled, err
}

func outputSchema[Out any]() (json.RawMessage, error) {
	s, err := infer.For[Out](inferOptions())
	if err != nil {
		return nil, fmt.Errorf("output schema: %w", err)
	}
	tidy(s, true)
	return json.Marshal(s)
}

// fieldsOf gives the fields of a struct, those of embedded ones included.
func fieldsOf(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		if t.Kind() != reflect.Struct {
			return
		}
		for _, f := range reflect.VisibleFields(t) {
			if !f.Anonymous && f.IsExported() && !yield(f) {
				return
			}
		}
	}
}

func number[N int | int64](n N) *float64 { f := float64(n); return &f }

func constrain(p *infer.Schema, tag reflect.StructTag) {
	if v := tag.Get("enum"); v != "" {
		to := p
		if p.Items != nil {
			to = p.Items
		}
		for word := range strings.SplitSeq(v, ",") {
			to.Enum = append(to.Enum, word)
		}
	}
	least, hasLeast := bound(tag.Get("min"))
	most, hasMost := bound(tag.Get("max"))
	switch p.Type {
	case "integer", "number":
		p.Minimum, p.Maximum = when(hasLeast, number(least)), when(hasMost, number(most))
	case "string":
		p.MinLength, p.MaxLength = when(hasLeast, &least), when(hasMost, &most)
	case "array":
		p.MinItems, p.MaxItems = when(hasLeast, &least), when(hasMost, &most)
	}
}

func when[T any](yes bool, p *T) *T {
	if yes {
		return p
	}
	return nil
}

func bound(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// tidy makes an inferred schema say what is meant: lists are never null, and
// answers may get more members with a later release.
func tidy(s *infer.Schema, output bool) {
	if s == nil {
		return
	}
	if len(s.Types) == 2 && s.Types[1] == "array" {
		s.Types, s.Type = nil, "array"
	}
	if output && len(s.Properties) > 0 {
		s.AdditionalProperties = nil
	}
	for _, p := range s.Properties {
		tidy(p, output)
	}
	tidy(s.Items, output)
	if s.Properties == nil {
		tidy(s.AdditionalProperties, output)
	}
}

const schemaName = "tool:arguments"

// compile prepares a schema for checks. Nothing is ever fetched.
func compile(raw json.RawMessage) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(nothingElse{})
	if err := c.AddResource(schemaName, doc); err != nil {
		return nil, fmt.Errorf("add schema: %w", err)
	}
	s, err := c.Compile(schemaName)
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	return s, nil
}

type nothingElse struct{}

// Load implements jsonschema.URLLoader.
func (nothingElse) Load(url string) (any, error) {
	return nil, fmt.Errorf("the schema refers to %s; other documents are not loaded", url)
}

// checked tells what is wrong with arguments, place by place.
func checked(s *jsonschema.Schema, arguments json.RawMessage) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(arguments))
	if err != nil {
		return unreadable(err)
	}
	err = s.Validate(doc)
	if err == nil {
		return nil
	}
	ve, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return unreadable(err)
	}
	return errs.E(errs.Invalid, "mcp.invalid_arguments", "The arguments do not fit the tool's input schema.", leaves(ve, nil)...)
}

// leaves lists the innermost faults, which say what to change.
func leaves(e *jsonschema.ValidationError, to []errs.Detail) []errs.Detail {
	for _, c := range e.Causes {
		to = leaves(c, to)
	}
	if len(e.Causes) > 0 {
		return to
	}
	message := e.Error()
	if out := e.BasicOutput(); out.Error != nil {
		message = out.Error.String()
	}
	place := strings.Join(append([]string{"arguments"}, e.InstanceLocation...), ".")
	return append(to, errs.Detail{Location: place + ":", Message: message})
}

func unreadable(err error) error {
	return errs.E(errs.Invalid, "mcp.invalid_arguments", "The arguments cannot be read: they must be one JSON object that fits the tool's input schema.").With(err)
}
