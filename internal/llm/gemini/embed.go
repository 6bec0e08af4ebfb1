package gemini

import (
	"context"

	"google.golang.org/genai"

	"github.com/llmctl/studio/internal/llm"
)

// Embed implements llm.Embedder with one batchEmbedContents, which the protocol bounds
// to 100 texts. It does not count tokens.
func (p *Provider) Embed(ctx context.Context, req llm.EmbedRequest) (llm.EmbedResponse, error) {
	out := llm.EmbedResponse{Model: req.Model}
	if err := p.fail.EmbedRequest(req); err != nil {
		return out, err
	}
	models, o, err := p.session(ctx)
	if err != nil {
		return out, err
	}
	contents := make([]*genai.Content, len(req.Inputs))
	for i, text := range req.Inputs {
		contents[i] = &genai.Content{Parts: []*genai.Part{{Text: text}}}
	}
	cfg := &genai.EmbedContentConfig{TaskType: taskType(req.Purpose)}
	if req.Dimensions > 0 {
		cfg.OutputDimensionality = new(int32(req.Dimensions))
	}
	res, err := models.EmbedContent(ctx, req.Model, contents, cfg)
	if err == nil {
		err = o.failure()
	}
	if err != nil {
		return out, p.explain(ctx, req.Model, err, o)
	}
	for _, e := range res.Embeddings {
		if e == nil {
			e = &genai.ContentEmbedding{}
		}
		out.Vectors = append(out.Vectors, e.Values)
	}
	return out, p.fail.Vectors(req, out.Vectors)
}

func taskType(p llm.EmbedPurpose) string {
	if p == llm.EmbedQuery {
		return "RETRIEVAL_QUERY"
	}
	return "RETRIEVAL_DOCUMENT"
}
