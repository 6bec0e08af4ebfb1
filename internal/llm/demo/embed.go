package demo

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/featurehash"
)

// Dimensions are those of the vectors, unless others are asked for.
const Dimensions = 256

// Embed implements llm.Embedder: texts with words in common are near each other.
func (p *Provider) Embed(ctx context.Context, req llm.EmbedRequest) (llm.EmbedResponse, error) {
	out := llm.EmbedResponse{Model: EmbeddingModelID}
	if err := p.fail.EmbedRequest(req); err != nil {
		return out, err
	}
	if err := p.knows(req.Model); err != nil {
		return out, err
	}
	dimensions := req.Dimensions
	if dimensions == 0 {
		dimensions = Dimensions
	}
	for i, text := range req.Inputs {
		if ctx.Err() != nil {
			return out, p.fail.Transport(ctx, ctx.Err())
		}
		n := int64(len(strings.Fields(text)))
		if n > contextWords {
			return out, p.fail.HTTP(req.Model, llm.HTTPFailure{
				Status: http.StatusBadRequest, Code: "context_length_exceeded", Message: fmt.Sprintf("The text number %d has %d words, more than %d.", i+1, n, contextWords),
			})
		}
		out.Usage.InputTokens += n
		out.Vectors = append(out.Vectors, featurehash.Vector(text, dimensions))
	}
	return out, nil
}

// rankDimensions are many, so that words of passages hardly ever meet by chance.
const rankDimensions = 4096

// Rerank implements llm.Reranker by the words that passages share with the question.
func (p *Provider) Rerank(ctx context.Context, req llm.RerankRequest) (llm.RerankResponse, error) {
	out := llm.RerankResponse{Model: EmbeddingModelID}
	if err := p.fail.RerankRequest(req); err != nil {
		return out, err
	}
	if err := p.knows(req.Model); err != nil {
		return out, err
	}
	q := featurehash.Vector(req.Query, rankDimensions)
	out.Usage.InputTokens = int64(len(strings.Fields(req.Query)))
	for i, d := range req.Documents {
		if ctx.Err() != nil {
			return out, p.fail.Transport(ctx, ctx.Err())
		}
		out.Usage.InputTokens += int64(len(strings.Fields(d)))
		out.Results = append(out.Results, llm.RerankResult{Index: i, Score: featurehash.Cosine(q, featurehash.Vector(d, rankDimensions))})
	}
	var err error
	out.Results, err = p.fail.Ranking(req, out.Results)
	return out, err
}

func (p *Provider) knows(model string) error {
	if model == EmbeddingModelID {
		return nil
	}
	return p.fail.HTTP(model, llm.HTTPFailure{Status: http.StatusNotFound, Message: "The only model here for embeddings is " + EmbeddingModelID + "."})
}
