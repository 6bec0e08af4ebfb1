package embed_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm/gemini"
	"github.com/llmctl/studio/internal/llm/openai"
	"github.com/llmctl/studio/internal/rag/embed"
)

func TestSpellingsOfOneEmbedderHaveOneKey(t *testing.T) {
	t.Parallel()
	key := func(base string) string { return embed.KeyOf("openai", base, "m", 0, "") }
	for _, base := range []string{"https://Host.example:443/v1/", "HTTPS://host.example/v1", "https://host.example./v1", "https://user:secret@host.example/v1"} {
		require.Equal(t, key("https://host.example/v1"), key(base), base)
	}
	require.NotContains(t, key("https://user:secret@host.example/v1"), "secret")
	require.Equal(t, key(openai.DefaultBaseURL), key(""))
	require.Equal(t, embed.KeyOf("gemini", gemini.DefaultBaseURL, "m", 0, ""), embed.KeyOf("gemini", "", "m", 0, ""))
}

func TestWhatMakesOtherVectorsHasAnotherKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, key := range []string{
		embed.KeyOf("openai", "https://a/v1", "m", 0, ""), embed.KeyOf("openai", "https://a/v1", "m", 256, ""), embed.KeyOf("openai", "https://a/v1", "n", 0, ""),
		embed.KeyOf("openai", "https://a/v2", "m", 0, ""), embed.KeyOf("openai", "http://a/v1", "m", 0, ""), embed.KeyOf("openai", "https://a:8443/v1", "m", 0, ""),
		embed.KeyOf("openai", "https://[::1]:8443/v1", "m", 0, ""), embed.KeyOf("gemini", "https://a/v1", "m", 0, ""), embed.KeyOf("demo", "", "m", 0, ""), embed.KeyOf("demo", "", "m", 0, "passage: "), embed.KeyOf("demo", "", "m", 0, "passage:"),
		embed.KeyOf("openai", "https://a/"+strings.Repeat("x", 300), "m", 0, ""), embed.KeyOf("openai", "https://a/"+strings.Repeat("y", 300), "m", 0, ""),
	} {
		require.False(t, seen[key], key)
		require.Less(t, len(key), 400)
		seen[key] = true
	}
	require.Equal(t, "openai https://a/v1 m own", embed.KeyOf("openai", "https://a/v1", "m", 0, ""), "keys that are stored stay")
	require.NotEqual(t, embed.Hash("a"), embed.Hash("b"))
	require.Len(t, embed.Hash("a"), 32)
}
