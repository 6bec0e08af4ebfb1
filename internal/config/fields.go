package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/caarlos0/env/v11"
)

// field is the declaration of one variable, read from its tags.
type field struct {
	name    string // of the variable
	section string
	def     string // default, empty when there is none
	auto    string // describes a default that is worked out
	doc     string
	oneOf   []string
	min     *float64
	max     *float64
	kind    reflect.Type
	index   []int // where it is in Config
	parse   env.ParserFunc
}

func (f field) secret() bool { return f.kind == reflect.TypeFor[Secret]() }

// fields lists all declarations in order. It panics on a wrong declaration,
// which is a mistake in this package that its tests find.
func fields() []field {
	var all []field
	known := parsers()
	root := reflect.TypeFor[Config]()
	for i := range root.NumField() {
		group := root.Field(i)
		if !group.IsExported() {
			continue
		}
		for j := range group.Type.NumField() {
			leaf := group.Type.Field(j)
			f := field{
				name:    leaf.Tag.Get("env"),
				section: group.Tag.Get("section"),
				def:     leaf.Tag.Get("default"),
				auto:    leaf.Tag.Get("auto"),
				doc:     leaf.Tag.Get("doc"),
				min:     limit(leaf, "min"),
				max:     limit(leaf, "max"),
				kind:    leaf.Type,
				index:   []int{i, j},
				parse:   known[leaf.Type],
			}
			if words := leaf.Tag.Get("oneof"); words != "" {
				f.oneOf = strings.Split(words, "|")
			}
			if f.name == "" || f.doc == "" || f.section == "" || f.parse == nil {
				panic(fmt.Sprintf("config: %s.%s is not fully declared", group.Name, leaf.Name))
			}
			all = append(all, f)
		}
	}
	return all
}

func limit(leaf reflect.StructField, tag string) *float64 {
	text, ok := leaf.Tag.Lookup(tag)
	if !ok {
		return nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(fmt.Sprintf("config: %s of %s is not a number", tag, leaf.Name))
	}
	return &n
}
