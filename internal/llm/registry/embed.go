package registry

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/llm"
)

// EmbeddingKinds are the kinds of providers that have embeddings.
func EmbeddingKinds() []string { return []string{OpenAI, Gemini, Demo} }

// RerankingKinds are the kinds of providers that can rerank. Of those that speak
// OpenAI's protocol it is the compatible servers, and not all of them.
func RerankingKinds() []string { return []string{OpenAI, Demo} }

// CanEmbed reports whether providers of a kind have embeddings.
func CanEmbed(kind string) bool { return slices.Contains(EmbeddingKinds(), kind) }

// CanRerank reports whether providers of a kind can rerank.
func CanRerank(kind string) bool { return slices.Contains(RerankingKinds(), kind) }

// Embedder is New for embeddings. What it gives for a kind that has none answers with
// an error that says who has.
func Embedder(s Spec, client *http.Client) (llm.Embedder, error) {
	p, err := New(s, client)
	if err != nil {
		return nil, err
	}
	if e, ok := p.(llm.Embedder); ok {
		return e, nil
	}
	return incapable{s: s, lacks: "embeddings", have: EmbeddingKinds()}, nil
}

// Reranker is New for reranking, with an error as of Embedder.
func Reranker(s Spec, client *http.Client) (llm.Reranker, error) {
	p, err := New(s, client)
	if err != nil {
		return nil, err
	}
	if r, ok := p.(llm.Reranker); ok {
		return r, nil
	}
	return incapable{s: s, lacks: "reranking", have: RerankingKinds()}, nil
}

// incapable answers for providers that lack something.
type incapable struct {
	s     Spec
	lacks string
	have  []string
}

// Embed implements llm.Embedder.
func (i incapable) Embed(context.Context, llm.EmbedRequest) (llm.EmbedResponse, error) {
	return llm.EmbedResponse{}, i.refusal()
}

// Rerank implements llm.Reranker.
func (i incapable) Rerank(context.Context, llm.RerankRequest) (llm.RerankResponse, error) {
	return llm.RerankResponse{}, i.refusal()
}

func (i incapable) refusal() error {
	return llm.Failures{Provider: i.s.Name, Key: i.s.APIKey}.Invalid(fmt.Sprintf(
		"%s is of the kind %s, which offers no %s. Use a model of a provider of the kind %s.", i.s.Name, i.s.Kind, i.lacks, strings.Join(i.have, " or ")))
}
