package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/demo"
)

func ask(text string) llm.Request {
	return llm.Request{Model: demo.ModelID, Messages: []llm.Message{llm.Text(llm.RoleUser, text)}}
}

func TestAnswersAreDeterministicPacedAndHonest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := demo.New("Demo", 20*time.Millisecond)
		start := time.Now()
		var pieces []string
		res, err := p.Chat(t.Context(), ask("Summarise the extraordinary harbour report"), func(d llm.Delta) error {
			pieces = append(pieces, d.Text)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, strings.Join(pieces, ""), res.Text)
		require.Contains(t, res.Text, "not a real model")
		require.Contains(t, res.Text, "extraordinary", "the answer comes from the prompt")
		require.Equal(t, time.Duration(len(pieces))*20*time.Millisecond, time.Since(start))
		require.Equal(t, llm.Usage{InputTokens: 5, OutputTokens: int64(len(pieces))}, res.Usage)
		again, err := p.Chat(t.Context(), ask("Summarise the extraordinary harbour report"), nil)
		require.NoError(t, err)
		require.Equal(t, res, again)
		other, err := p.Chat(t.Context(), ask("Something else"), nil)
		require.NoError(t, err)
		require.NotEqual(t, res.Text, other.Text)
	})
}

func TestCancelStopsBetweenTwoWords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := demo.New("Demo", time.Hour)
		n := 0
		res, err := p.Chat(ctx, ask("one two"), func(llm.Delta) error {
			if n++; n == 3 {
				cancel()
			}
			return nil
		})
		var e *llm.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, llm.KindCancelled, e.Kind)
		require.EqualValues(t, 3, res.Usage.OutputTokens)
		require.NotEmpty(t, res.Text)
	})
}

func TestLimitsAndErrorsBehaveLikeARealModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := demo.New("Demo", 0)
		req := ask("hello there")
		req.Params.MaxTokens = 4
		res, err := p.Chat(t.Context(), req, nil)
		require.NoError(t, err)
		require.Equal(t, llm.FinishLength, res.Finish)
		require.EqualValues(t, 4, res.Usage.OutputTokens)

		var e *llm.Error
		_, err = p.Chat(t.Context(), ask(strings.Repeat("word ", 100_001)), nil)
		require.ErrorAs(t, err, &e)
		require.Equal(t, llm.KindContextLength, e.Kind)
		req.Model = "gpt"
		_, err = p.Chat(t.Context(), req, nil)
		require.ErrorAs(t, err, &e)
		require.Equal(t, llm.KindUnknownModel, e.Kind)
		mine := errors.New("mine")
		_, err = p.Chat(t.Context(), ask("x"), func(llm.Delta) error { return mine })
		require.ErrorIs(t, err, mine)
	})
}

func TestSchemasAreSatisfied(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{"type":"object","properties":{"title":{"type":"string","minLength":12},"n":{"type":"integer","minimum":3},"ok":{"type":"boolean"},"kind":{"enum":["a","b"]},"tags":{"type":"array","items":{"type":"string"},"minItems":2}},"required":["title","n","ok","kind","tags"]}`,
		`{"type":"array","items":{"type":"object","properties":{"x":{"type":"number"}},"required":["x"]}}`,
		`{"type":"string"}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			req := ask("x")
			req.Output = &llm.OutputSchema{Name: "answer", Schema: json.RawMessage(schema)}
			res, err := demo.New("Demo", 0).Chat(t.Context(), req, nil)
			require.NoError(t, err)
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
			require.NoError(t, err)
			c := jsonschema.NewCompiler()
			require.NoError(t, c.AddResource("s.json", doc))
			sch, err := c.Compile("s.json")
			require.NoError(t, err)
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(res.Text))
			require.NoError(t, err)
			require.NoError(t, sch.Validate(v), res.Text)
		})
	}
}

func TestItIsClearlyNamed(t *testing.T) {
	t.Parallel()
	p := demo.New("Demo", 0)
	models, err := p.Models(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Demo model (offline, not a real model)", models[0].Name)
	res, err := p.Test(t.Context())
	require.NoError(t, err)
	require.Contains(t, res.Message, "not a real model")
}
