package openai

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"

	"github.com/llmctl/studio/internal/llm"
)

// Embed implements llm.Embedder. Base64 is asked for, as the protocol's own clients do,
// since it is a quarter of the size; servers that send numbers all the same are
// understood.
func (p *Provider) Embed(ctx context.Context, req llm.EmbedRequest) (llm.EmbedResponse, error) {
	out := llm.EmbedResponse{Model: req.Model}
	if err := p.fail.EmbedRequest(req); err != nil {
		return out, err
	}
	params := sdk.EmbeddingNewParams{
		Model: req.Model, Input: sdk.EmbeddingNewParamsInputUnion{OfArrayOfStrings: req.Inputs}, EncodingFormat: sdk.EmbeddingNewParamsEncodingFormatBase64,
	}
	if req.Dimensions > 0 {
		params.Dimensions = param.NewOpt(int64(req.Dimensions))
	}
	var res *http.Response
	if _, err := p.embeddings.New(ctx, params, option.WithResponseBodyInto(&res)); err != nil {
		return out, p.explain(ctx, req.Model, err)
	}
	var body embeddings
	if err := p.read(ctx, req.Model, res, &body); err != nil {
		return out, err
	}
	if body.Model != "" {
		out.Model = body.Model
	}
	out.Usage = body.Usage.usage()
	var err error
	if out.Vectors, err = p.ordered(len(req.Inputs), body.Data); err != nil {
		return out, err
	}
	return out, p.fail.Vectors(req, out.Vectors)
}

// ordered puts vectors where their index says. Servers that leave the index away mean
// the order in which they answer.
func (p *Provider) ordered(n int, data []embedding) ([][]float32, error) {
	if len(data) != n {
		return nil, p.fail.Invalid(fmt.Sprintf("%s answered %d texts with %d vectors.", p.fail.Provider, n, len(data)))
	}
	out := make([][]float32, n)
	for i, d := range data {
		at := i
		if d.Index != nil {
			at = *d.Index
		}
		if at < 0 || at >= n || out[at] != nil {
			return nil, p.fail.Invalid(fmt.Sprintf("%s answered %d texts with a vector for the text number %d, or twice with that.", p.fail.Provider, n, at+1))
		}
		out[at] = d.Embedding
	}
	return out, nil
}

// rerankRequest is what Cohere, Jina and the servers that follow them take.
type rerankRequest struct {
	Model     string   `json:"model"`
	Query     string   `json:"query"`
	Documents []string `json:"documents"`
	TopN      int      `json:"top_n,omitempty"`
}

// Rerank implements llm.Reranker for servers that offer /rerank beside the protocol;
// OpenAI itself does not.
func (p *Provider) Rerank(ctx context.Context, req llm.RerankRequest) (llm.RerankResponse, error) {
	out := llm.RerankResponse{Model: req.Model}
	if err := p.fail.RerankRequest(req); err != nil {
		return out, err
	}
	var res *http.Response
	if err := p.raw.Post(ctx, "rerank", rerankRequest(req), &res); err != nil {
		return out, p.explain(ctx, req.Model, err)
	}
	var body ranking
	if err := p.read(ctx, req.Model, res, &body); err != nil {
		return out, err
	}
	if body.Model != "" {
		out.Model = body.Model
	}
	out.Usage = body.usage()
	results := make([]llm.RerankResult, 0, len(body.Results)+len(body.Data))
	for _, r := range append(body.Results, body.Data...) {
		results = append(results, llm.RerankResult{Index: r.Index, Score: r.score()})
	}
	var err error
	out.Results, err = p.fail.Ranking(req, results)
	return out, err
}

// failure is what some servers answer with in spite of the status 200.
type failure struct {
	Error json.RawMessage `json:"error"`
}

// read decodes a whole answer. The transport bounds its size and its silences.
func (p *Provider) read(ctx context.Context, model string, res *http.Response, into any) error {
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if ctx.Err() == nil && errors.Is(err, io.ErrUnexpectedEOF) {
		return p.fail.Broken()
	}
	if err != nil {
		return p.fail.Transport(ctx, err)
	}
	var f failure
	if err := json.Unmarshal(raw, &f); err == nil && len(f.Error) > 0 && string(f.Error) != "null" {
		return p.inStream(model, raw)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return p.fail.Invalid(fmt.Sprintf("%s answered with something that is not of this protocol (%v). Check its base URL under Models.", p.fail.Provider, err))
	}
	return nil
}

// The answers, as the protocol and its dialects write them.
type (
	embeddings struct {
		Model string      `json:"model"`
		Data  []embedding `json:"data"`
		Usage counted     `json:"usage"`
	}
	embedding struct {
		Index     *int   `json:"index"`
		Embedding vector `json:"embedding"`
	}
	counted struct {
		PromptTokens int64 `json:"prompt_tokens"`
		TotalTokens  int64 `json:"total_tokens"`
	}
	ranking struct {
		Model   string   `json:"model"`
		Results []ranked `json:"results"`
		Data    []ranked `json:"data"`
		Usage   counted  `json:"usage"`
		Meta    struct {
			Tokens struct {
				Input int64 `json:"input_tokens"`
			} `json:"tokens"`
		} `json:"meta"`
	}
	ranked struct {
		Index          int      `json:"index"`
		RelevanceScore *float64 `json:"relevance_score"`
		Score          float64  `json:"score"`
	}
)

func (c counted) usage() llm.Usage {
	if c.PromptTokens == 0 {
		return llm.Usage{InputTokens: c.TotalTokens}
	}
	return llm.Usage{InputTokens: c.PromptTokens}
}

func (r ranking) usage() llm.Usage {
	if n := r.Meta.Tokens.Input; n > 0 {
		return llm.Usage{InputTokens: n}
	}
	return r.Usage.usage()
}

func (r ranked) score() float64 {
	if r.RelevanceScore != nil {
		return *r.RelevanceScore
	}
	return r.Score
}

// vector is a list of numbers or, in base64, little endian float32.
type vector []float32

// UnmarshalJSON implements json.Unmarshaler.
func (v *vector) UnmarshalJSON(raw []byte) error {
	if len(raw) == 0 || raw[0] != '"' {
		return json.Unmarshal(raw, (*[]float32)(v))
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b)%4 != 0 {
		return errors.New("a vector is not float32 in base64")
	}
	*v = make(vector, len(b)/4)
	for i := range *v {
		(*v)[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return nil
}
