package sqliteimport

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/llmctl/studio/internal/flowchart"
)

func evaluate(t *testing.T, expression, upstream string) bool {
	t.Helper()
	c, err := flowchart.CompileCondition(expression)
	require.NoError(t, err, expression)
	s, err := flowchart.NewScope(json.RawMessage(`{}`), json.RawMessage(upstream), nil, map[string]any{"id": int64(7), "flowchart_id": int64(3)})
	require.NoError(t, err)
	v, err := c.Eval(t.Context(), s)
	require.NoError(t, err, expression)
	return v
}

func TestConditionsKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	const route = "latest_upstream.output_state.structured_output.route_key"
	for name, c := range map[string]struct {
		text, upstream string
		want           bool
	}{
		"equal text":                     {route + ` == "yes"`, `{"json": {"route_key": "yes"}}`, true},
		"equal without quotes":           {route + ` == yes`, `{"json": {"route_key": "yes"}}`, true},
		"equal minds the case":           {route + ` == yes`, `{"json": {"route_key": "Yes"}}`, false},
		"equal number":                   {`latest_upstream.output_state.structured_output.n == 3`, `{"json": {"n": 3}}`, true},
		"equal truth":                    {`latest_upstream.output_state.structured_output.ok == True`, `{"json": {"ok": true}}`, true},
		"missing is not equal":           {route + ` == yes`, `{"json": {}}`, false},
		"missing output":                 {route + ` == yes`, `{}`, false},
		"null is not equal":              {route + ` == ""`, `{"json": {"route_key": null}}`, false},
		"through what is no object":      {route + ` == yes`, `{"json": "text"}`, false},
		"a list is no text":              {route + ` == yes`, `{"json": {"route_key": ["yes"]}}`, false},
		"unequal":                        {route + ` != yes`, `{"json": {"route_key": "no"}}`, true},
		"missing is not unequal":         {route + ` != yes`, `{"json": {}}`, false},
		"a list is unequal":              {route + ` != yes`, `{"json": {"route_key": []}}`, true},
		"routing state":                  {`latest_upstream.routing_state.route_key == yes`, `{"json": {"route_key": "yes"}}`, true},
		"contains whatever the case":     {`latest_upstream.output_state.raw_output contains URGENT`, `{"text": "so urgent!"}`, true},
		"contains beyond ASCII":          {`latest_upstream.output_state.raw_output contains ÄRGER`, `{"text": "großer ärger"}`, true},
		"contains in another case":       {`latest_upstream.output_state.raw_output CONTAINS "x"`, `{"text": "abc"}`, false},
		"contains in a list":             {`latest_upstream.output_state.structured_output.tags contains bug`, `{"json": {"tags": ["Bugfix", 1]}}`, true},
		"contains with a pattern's text": {`latest_upstream.output_state.raw_output contains ä.*`, `{"text": "äbc"}`, false},
		"true path":                      {`latest_upstream.output_state.structured_output.ok`, `{"json": {"ok": true}}`, true},
		"false path":                     {`latest_upstream.output_state.structured_output.ok`, `{"json": {"ok": "off"}}`, false},
		"yes is true":                    {`latest_upstream.output_state.structured_output.ok`, `{"json": {"ok": "Yes"}}`, true},
		"an object is not true":          {`latest_upstream.output_state.structured_output.ok`, `{"json": {"ok": {"a": 1}}}`, false},
		"list index":                     {`latest_upstream.output_state.structured_output.items.1.name == b`, `{"json": {"items": [{"name": "a"}, {"name": "b"}]}}`, true},
		"list index too high":            {`latest_upstream.output_state.structured_output.items.5.name == b`, `{"json": {"items": []}}`, false},
		"a reserved word":                {`latest_upstream.output_state.structured_output.in == b`, `{"json": {"in": "b"}}`, true},
		"first upstream node":            {`upstream_nodes.0.output_state.raw_output == b`, `{"text": "b"}`, true},
		"the flowchart":                  {`flowchart.id == 3`, `{}`, true},
		"an unknown name":                {`state.approved == yes`, `{"state": {"approved": "yes"}}`, false},
		"a word as route key":            {`approved`, `{"json": {"route_key": "Approved"}}`, true},
		"a word in the answer":           {`approved`, `{"text": "It is APPROVED."}`, true},
		"a word that is nowhere":         {`approved`, `{"text": "no", "json": {}}`, false},
		"nothing":                        {"  ", `{"text": "x"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expression, how := condition(c.text, true)
			require.NotEqual(t, untranslated, how)
			require.Equal(t, c.want, evaluate(t, expression, c.upstream), expression)
		})
	}
}

func TestFreeTextIsLeftToPeople(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"the customer is happy", "latest_upstream contains x", "latest_upstream.output_state", "node.id == 3", "1 > 2", "size(input) > 1",
		"upstream_nodes.1.output_state.raw_output == x",
	} {
		expression, how := condition(text, true)
		require.Equal(t, untranslated, how, text)
		require.Empty(t, expression)
		// What is shown in its place never counts as an expression.
		_, err := flowchart.CompileCondition(undecided(text))
		require.Error(t, err, text)
		require.Contains(t, undecided(text), text)
	}
	_, how := condition("upstream_nodes.0.output_state.raw_output == x", false)
	require.Equal(t, untranslated, how, "which of several parents came first is not known")
}

// Whatever stands in a file: a translation compiles, evaluates without an error
// on an output of any shape, and what is left untranslated never runs.
func FuzzCondition(f *testing.F) {
	for _, seed := range []string{
		"", "a", "latest_upstream.output_state.raw_output contains x", `latest_upstream.output_state.structured_output.a.0.in == "q\"`,
		"flowchart.run_id != 1", "the customer is happy", "true", "\x00\xff", `latest_upstream.output_state.x contains \Q.*`, "ÄÖ", "a.b.c.d",
		"upstream_nodes.0.output_state.message", "latest_upstream.output_state.structured_output.route_key == {{", "))", "1e5",
	} {
		f.Add(seed, `{"text": "x", "json": {"route_key": [1, {"a": null}]}}`)
		f.Add(seed, `{"json": "text", "text": 5}`)
	}
	f.Fuzz(func(t *testing.T, text, upstream string) {
		expression, how := condition(text, len(text)%2 == 0)
		if how == untranslated {
			_, err := flowchart.CompileCondition(undecided(text))
			require.Error(t, err)
			return
		}
		c, err := flowchart.CompileCondition(expression)
		require.NoError(t, err, expression)
		var object map[string]any
		if json.Unmarshal([]byte(upstream), &object) != nil || object == nil {
			return
		}
		s, err := flowchart.NewScope(json.RawMessage(`{}`), json.RawMessage(upstream), nil, map[string]any{"id": int64(7), "flowchart_id": int64(3)})
		if err != nil {
			return
		}
		_, err = c.Eval(t.Context(), s)
		require.NoError(t, err, expression)
	})
}

// The same over texts that look like conditions, which random bytes seldom do.
func TestAnyConditionIsTranslatedSoundlyOrLeftToPeople(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{
		"latest_upstream", ".output_state", ".structured_output", ".raw_output", ".routing_state", ".route_key", "upstream_nodes", ".0", ".12", ".in",
		".a", "flowchart", ".id", ".run_id", ".json", "..", " == ", " != ", " contains ", " CONTAINS ", `"`, "'", `\`, "yes", "True", "ÄÖ", "{{", "}}", "(", ") ||", "\n", "\x00", " ", "5",
	})
	upstream := rapid.SampledFrom([]string{
		`{}`, `{"text": "yes", "json": {"route_key": "yes", "a": [1, {"in": "5"}]}}`, `{"json": [[{"a": 1}]], "text": 5}`, `{"json": null, "text": null}`,
		`{"a": {"a": {"a": true}}, "0": 1, "in": {"0": "yes"}, "json": {"0": "x", "12": []}}`,
	})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 9).Draw(t, "text"), "")
		expression, how := condition(text, rapid.Bool().Draw(t, "one parent"))
		if how == untranslated {
			_, err := flowchart.CompileCondition(undecided(text))
			require.Error(t, err)
			return
		}
		c, err := flowchart.CompileCondition(expression)
		require.NoError(t, err, expression)
		s, err := flowchart.NewScope(json.RawMessage(`{}`), json.RawMessage(upstream.Draw(t, "upstream")), nil, map[string]any{"id": int64(7), "flowchart_id": int64(3)})
		require.NoError(t, err)
		_, err = c.Eval(t.Context(), s)
		require.NoError(t, err, expression)
	})
}

func TestTimesAreReadInManyWays(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("east", 3600)
	for text, want := range map[any]string{
		"2026-01-05 08:00:00.123456":       "2026-01-05T07:00:00.123456Z",
		"2026-01-05 08:00:00":              "2026-01-05T07:00:00Z",
		"2026-01-05T08:00:00":              "2026-01-05T07:00:00Z",
		"2026-01-05 08:00:00.5+00:00":      "2026-01-05T08:00:00.5Z",
		"2026-01-05T08:00:00Z":             "2026-01-05T08:00:00Z",
		"2026-01-05 08:00:00 -0500":        "2026-01-05T13:00:00Z",
		" 2026-01-05 ":                     "2026-01-04T23:00:00Z",
		"Mon, 05 Jan 2026 08:00:00 +0000":  "2026-01-05T08:00:00Z",
		int64(1767600000):                  "2026-01-05T08:00:00Z",
		1767600000.25:                      "2026-01-05T08:00:00.25Z",
		int64(1767600000250):               "2026-01-05T08:00:00.25Z",
		"1767600000":                       "2026-01-05T08:00:00Z",
		"yesterday":                        "",
		"0001-01-01 00:00:00":              "",
		"":                                 "",
		int64(5):                           "",
		"2026-02-30 99:99":                 "",
		"9999-99-99 99:99:99.999999999999": "",
	} {
		got, ok := row{"at": text}.moment("at", zone)
		require.Equal(t, want != "", ok, "%v", text)
		if ok {
			require.Equal(t, want, got.Format(time.RFC3339Nano), "%v", text)
		}
	}
}

func TestBooleansAreReadInManyWays(t *testing.T) {
	t.Parallel()
	for _, v := range []any{int64(1), "1", "true", " TRUE ", "t", "yes", "Y", "on", 1.0, []byte("true")} {
		require.True(t, row{"b": v}.boolean("b"), "%v", v)
	}
	for _, v := range []any{nil, int64(0), "0", "false", "f", "no", "off", "", "maybe", 0.0} {
		require.False(t, row{"b": v}.boolean("b"), "%v", v)
	}
}
