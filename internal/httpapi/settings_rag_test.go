package httpapi_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/httpapi"
)

// fakeEmbeddings answers a test as it is told.
type fakeEmbeddings struct{ found httpapi.EmbeddingTest }

func (f fakeEmbeddings) Test(context.Context) (httpapi.EmbeddingTest, error) { return f.found, nil }

func TestRetrievalSettingsAreShownChangedAndTested(t *testing.T) {
	t.Parallel()
	found := httpapi.EmbeddingTest{OK: true, Dimensions: 256, LatencyMS: 3, Message: "It works."}
	b := setup(t, func(_ *testBundle, d *httpapi.Deps) { d.Embeddings = fakeEmbeddings{found} })
	const path = "/api/settings/rag"
	got := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	require.Nil(t, got.at(t, "embedding_model_id"))
	require.Equal(t, "5", got.id(t, "top_k"))

	provider := b.admin(t, http.StatusCreated, http.MethodPost, "/api/providers", `{"name":"p","kind":"demo"}`).id(t, "id")
	claude := b.admin(t, http.StatusCreated, http.MethodPost, "/api/providers", `{"name":"c","kind":"anthropic"}`).id(t, "id")
	id := b.admin(t, http.StatusCreated, http.MethodPost, "/api/models", `{"name":"v","provider_id":`+provider+`,"model":"demo-embedding","config":{"purpose":"embedding"}}`).id(t, "id")
	unfit := b.admin(t, http.StatusCreated, http.MethodPost, "/api/models", `{"name":"w","provider_id":`+claude+`,"model":"claude"}`).id(t, "id")

	changed := b.admin(t, http.StatusOK, http.MethodPatch, path, `{"embedding_model_id":`+id+`,"embedding_dimensions":128,"top_k":8}`, header{"If-Match", got.header.Get("ETag")})
	require.Equal(t, id, changed.id(t, "embedding_model_id"))
	require.Equal(t, "8", changed.id(t, "top_k"))
	b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, path, `{"top_k":9}`, header{"If-Match", got.header.Get("ETag")})
	require.Contains(t, b.audited(t), "setting.updated 0")
	again := b.admin(t, http.StatusOK, http.MethodPatch, path, `{"embedding_dimensions":null}`)
	require.Nil(t, again.at(t, "embedding_dimensions"))
	require.Equal(t, id, again.id(t, "embedding_model_id"), "what is left out stays")

	refused := b.admin(t, http.StatusUnprocessableEntity, http.MethodPatch, path, `{"embedding_model_id":`+unfit+`,"top_k":0}`)
	require.Equal(t, "body.top_k", refused.at(t, "errors", 0, "location"))
	require.Equal(t, "body.embedding_model_id", refused.at(t, "errors", 1, "location"))
	require.Contains(t, refused.at(t, "errors", 1, "message"), "offers no embeddings")

	test := b.admin(t, http.StatusOK, http.MethodPost, path+"/test", nil)
	require.Equal(t, true, test.at(t, "ok"))
	require.Equal(t, "256", test.id(t, "dimensions"))
	require.Equal(t, http.StatusForbidden, b.do(t, http.MethodPatch, path, `{}`, b.as(auth.Editor)).status)
	require.Equal(t, http.StatusForbidden, b.do(t, http.MethodPost, path+"/test", nil, b.as(auth.Editor)).status)
	require.Equal(t, http.StatusOK, b.do(t, http.MethodGet, path, nil, b.as(auth.Viewer)).status)
}
