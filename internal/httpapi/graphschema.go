package httpapi

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// The types below say in the document what a graph consists of; nothing is read
// into them. What a client sends reaches the flowchart package byte by byte, for
// it keeps members that it does not know, digits of numbers, and has precise
// errors of its own.

type graphPosition struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

type graphNode struct {
	ID       string         `json:"id" pattern:"^[A-Za-z0-9_-]{1,64}$"`
	Kind     string         `json:"kind" enum:"start,end,task,decision,rag,memory,plan,milestone,flowchart,approval,http,script"`
	Title    string         `json:"title" maxLength:"200"`
	Position graphPosition  `json:"position"`
	Config   map[string]any `json:"config" doc:"Its members depend on the kind"`
}

type graphNodeInput struct {
	_        struct{}       `json:"-" additionalProperties:"true"`
	ID       string         `json:"id" pattern:"^[A-Za-z0-9_-]{1,64}$" doc:"Stable over versions"`
	Kind     string         `json:"kind" enum:"start,end,task,decision,rag,memory,plan,milestone,flowchart,approval,http,script"`
	Title    string         `json:"title,omitempty" maxLength:"200"`
	Position graphPosition  `json:"position,omitzero"`
	Config   map[string]any `json:"config,omitempty" doc:"Its members depend on the kind"`
}

type graphEdge struct {
	_      struct{} `json:"-" additionalProperties:"true"`
	ID     string   `json:"id" pattern:"^[A-Za-z0-9_-]{1,64}$"`
	Source string   `json:"source" doc:"Id of a node"`
	Target string   `json:"target" doc:"Id of a node"`
	Mode   string   `json:"mode" enum:"solid,dotted,dashed" doc:"solid: trigger, context and attachments; dotted: context only; dashed: attachments only"`
}

type graphEdgeInput struct {
	_      struct{} `json:"-" additionalProperties:"true"`
	ID     string   `json:"id" pattern:"^[A-Za-z0-9_-]{1,64}$" doc:"Stable over versions"`
	Source string   `json:"source" doc:"Id of a node"`
	Target string   `json:"target" doc:"Id of a node"`
	Mode   string   `json:"mode,omitempty" enum:"solid,dotted,dashed" default:"solid" doc:"solid: trigger, context and attachments; dotted: context only; dashed: attachments only. Members besides these are kept"`
}

// documented is JSON that the document describes as D and that passes through
// unread and, in requests, unchecked: errors come from the domain.
type documented[D any] struct{ json.RawMessage }

// Schema implements huma.SchemaProvider. The reference is an extension, so that it
// is in the document and the validator does not follow it.
func (documented[D]) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{Extensions: map[string]any{"$ref": r.Schema(reflect.TypeFor[D](), true, "").Ref}}
}

// documentedList is the same for a list of D.
type documentedList[D any] struct{ json.RawMessage }

// Schema implements huma.SchemaProvider.
func (documentedList[D]) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{Extensions: map[string]any{
		"type": huma.TypeArray, "items": r.Schema(reflect.TypeFor[D](), true, ""),
	}}
}
