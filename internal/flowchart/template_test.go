package flowchart_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	s := scope(t)
	for text, want := range map[string]string{
		``:                              ``,
		`plain } text }}`:               `plain } text }}`,
		`{ {{input.n}} }`:               `{ 3 }`,
		`{{ input.text }}`:              `héllo <b>`,
		`a{{input.n}}{{ input.f }}b`:    `a35.5b`,
		`{{ upstream.json }}`:           `{"rate":0.25,"score":4}`,
		`{{ input.none }}`:              `null`,
		`{{ input.n > 2 }}`:             `true`,
		`{{ "}}" }}`:                    `}}`,
		`{{ '{{' }}`:                    `{{`,
		`{{ "a\"}}" }}!`:                `a"}}!`,
		`{{ r"\" + "}}" }}`:             `\}}`,
		`{{ """a"}}""" }}`:              `a"}}`,
		`{{ {"a": {"b": 1}} }}`:         `{"a":{"b":1}}`,
		`{{ {"a": {"b": 1}}["a"].b }}}`: `1}`,
		"{{ has(nodes.gone) ? nodes.gone.x : \"-\" }}": `-`,
		"{{\n input.n +\n 1 }}":                        `4`,
	} {
		tpl, err := flowchart.CompileTemplate(text)
		require.NoError(t, err, text)
		got, err := tpl.Render(t.Context(), s)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestTemplatesThatDoNotCompile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		`a {{ input.n`:                 {"flow.invalid_expression", "without }}"},
		`a {{ "}} `:                    {"flow.invalid_expression", "without }}"},
		`{{ }}`:                        {"flow.invalid_expression", "is empty"},
		`{{ foo.bar }}`:                {"flow.unknown_name", `"foo"`},
		`{{ input. }}`:                 {"flow.invalid_expression", "does not parse"},
		strings.Repeat("x{{1}}", 2000): {"flow.invalid_expression", "parts"},
	} {
		_, err := flowchart.CompileTemplate(text)
		require.ErrorContains(t, err, want[1], text)
		require.True(t, errs.HasReason(err, want[0]), text)
	}
}

func TestTemplatesFailAloud(t *testing.T) {
	t.Parallel()
	tpl, err := flowchart.CompileTemplate(`Hello {{ upstream.name }}`)
	require.NoError(t, err)
	_, err = tpl.Render(t.Context(), scope(t))
	require.ErrorContains(t, err, "`upstream.name` failed: no such key: name")
	require.True(t, errs.HasReason(err, "flow.expression_failed"))
}

func TestRenderedTextIsBounded(t *testing.T) {
	t.Parallel()
	s := flowchart.Scope{Input: strings.Repeat("x", flowchart.MaxRenderedBytes)}
	tpl, err := flowchart.CompileTemplate(`{{ input }}`)
	require.NoError(t, err)
	got, err := tpl.Render(t.Context(), s)
	require.NoError(t, err)
	require.Len(t, got, flowchart.MaxRenderedBytes)
	for _, text := range []string{`{{ input }}.`, `.{{ input }}`, `{{ input }}{{ input }}`, `{{ [input] }}`} {
		tpl, err := flowchart.CompileTemplate(text)
		require.NoError(t, err)
		_, err = tpl.Render(t.Context(), s)
		require.True(t, errs.HasReason(err, "flow.rendered_too_large"), text)
		require.True(t, errs.Is(err, errs.TooLarge), text)
	}
}

func TestTemplateParts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		prefix string
		whole  bool
	}{
		``: {"", true}, `abc`: {"abc", true}, `abc{{1}}`: {"abc", false}, `{{1}}abc`: {"", false},
	} {
		tpl, err := flowchart.CompileTemplate(text)
		require.NoError(t, err)
		prefix, whole := tpl.Static()
		require.Equal(t, want.prefix, prefix, text)
		require.Equal(t, want.whole, whole, text)
	}
	tpl, err := flowchart.CompileTemplate(`{{ nodes.b.x }}{{ nodes.a.x }}{{ nodes.b.y }}`)
	require.NoError(t, err)
	require.Equal(t, flowchart.Refs{Nodes: []string{"a", "b"}}, tpl.NodeRefs())
}
