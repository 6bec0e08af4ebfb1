package featurehash_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm/featurehash"
)

func TestNearTextsAreNearerThanFarOnes(t *testing.T) {
	t.Parallel()
	cases := []struct{ query, near, far string }{
		{"how do I restart a failed worker", "A worker that failed is restarted by the supervisor after the grace period.", "Invoices are sent by mail at the end of each month."},
		{"rotate encryption keys", "Key rotation: the encryption key can be rotated while the server runs.", "The garden has apple trees and a small pond."},
		{"parse config file", "func parseConfigFile(path string) (Config, error)", "type Vector struct { X, Y, Z float64 }"},
		{"データベースの接続", "データベースへの接続設定", "天気は晴れです"},
	}
	for _, dimensions := range []int{64, 256, 1024} {
		for _, c := range cases {
			q := featurehash.Vector(c.query, dimensions)
			near := featurehash.Cosine(q, featurehash.Vector(c.near, dimensions))
			far := featurehash.Cosine(q, featurehash.Vector(c.far, dimensions))
			require.Greater(t, near, far+0.1, "%d dimensions: %s", dimensions, c.query)
		}
	}
}

func TestVectorsAreOfUnitLengthAndTheSameEverywhere(t *testing.T) {
	t.Parallel()
	v := featurehash.Vector("The quick brown fox", 256)
	require.Len(t, v, 256)
	require.InDelta(t, 1, featurehash.Cosine(v, v), 1e-6)
	for range 20 {
		again := featurehash.Vector("The quick brown fox", 256)
		require.Equal(t, v, again)
	}
	// Stored vectors meet those of later releases: a change of these numbers is a change
	// of the model.
	sum := 0.0
	for i, x := range featurehash.Vector("stored vectors", 4) {
		sum += float64(x) * math.Pow(10, float64(i))
	}
	require.InDelta(t, 99.0976, sum, 1e-3)
}

func TestTextsWithoutWordsHaveNoDirection(t *testing.T) {
	t.Parallel()
	v := featurehash.Vector(" -- !! ", 8)
	require.Equal(t, make([]float32, 8), v)
}

func TestIdentifiersAreSplitIntoTheirParts(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"parse", "config", "file", "max", "size", "http2", "naïve"}, featurehash.Words("parseConfigFile(max_size) HTTP2 naïve"))
	require.Equal(t, []string{"日", "本", "go"}, featurehash.Words("日本go"))
}
