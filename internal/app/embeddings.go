package app

import (
	"context"
	"net/http"

	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/llm/observed"
	"github.com/llmctl/studio/internal/rag/models"
)

// newRetrievalModels gives the models of the settings of retrieval, seen by figures and
// traces.
func newRetrievalModels(s *studio, client *http.Client) *models.Models {
	return models.New(models.Options{
		DB: s.db, Catalog: s.catalog, Client: client, Now: s.now, Logger: s.log, Observe: observed.Options{Called: s.observer.called, Now: s.now},
	})
}

// embeddingTest implements httpapi.Embeddings.
type embeddingTest struct{ *models.Models }

// Test implements httpapi.Embeddings.
func (e embeddingTest) Test(ctx context.Context) (httpapi.EmbeddingTest, error) {
	f, err := e.Models.Test(ctx)
	return httpapi.EmbeddingTest{OK: f.OK, Dimensions: f.Dimensions, LatencyMS: f.Took.Milliseconds(), Message: f.Message, Kind: f.Kind}, err
}
