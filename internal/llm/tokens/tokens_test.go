package tokens_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm/tokens"
)

func TestScriptsCountByTheirCharacters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 0, "a": 1, "abcd": 1, "abcde": 2, "éé": 1, "ééé": 2, "日本": 2, "a日": 2} {
		require.Equal(t, want, tokens.Estimate(text), text)
	}
}

func TestACutTextIsTheLongestBeginningWithinTheLimit(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Repeat("word ", 40), strings.Repeat("日本語", 20), "aé日" + strings.Repeat("mixed é日 ", 10)} {
		for limit := range 60 {
			got, cut := tokens.Cut(text, limit)
			require.True(t, strings.HasPrefix(text, got))
			require.LessOrEqual(t, tokens.Estimate(got), limit)
			require.Equal(t, tokens.Estimate(text) > limit, cut)
			if cut {
				next := text[:len(got)+len(string([]rune(text[len(got):])[0]))]
				require.Greater(t, tokens.Estimate(next), limit, "one character more would be too much")
			}
		}
	}
}
