package catalog

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
)

func TestPrefixesOfAnEmbeddingModelAreChecked(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "{}", "null", `{"purpose": "embedding", "query_prefix": "query: ", "document_prefix": ""}`, `{"temperature": 1}`} {
		require.NoError(t, checkConfig([]byte(good)), good)
	}
	err := checkConfig([]byte(`{"query_prefix": 3, "document_prefix": "` + strings.Repeat("x", MaxPrefix+1) + `"}`))
	require.True(t, errs.HasReason(err, "model.invalid_config"), "%v", err)
	details := errs.As(err).Details
	require.Equal(t, "body.config.query_prefix", details[0].Location)
	require.Contains(t, details[0].Message, "is 3")
	require.Equal(t, "body.config.document_prefix", details[1].Location)
	require.Contains(t, details[1].Message, "501 bytes")
	require.Error(t, checkConfig([]byte(`{"query_prefix": "a\u0000b"}`)))

	c, err := EmbeddingConfigOf([]byte(`{"query_prefix": "query: ", "document_prefix": "passage: "}`))
	require.NoError(t, err)
	require.Equal(t, EmbeddingConfig{QueryPrefix: "query: ", DocumentPrefix: "passage: "}, c)
}
