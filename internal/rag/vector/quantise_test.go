package vector

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDotIsTheProductForAnyLength(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 70).Draw(t, "n")
		a := rapid.SliceOfN(rapid.Int8(), n, n).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Int8(), n, n).Draw(t, "b")
		var want int32
		for i := range a {
			want += int32(a[i]) * int32(b[i])
		}
		require.Equal(t, want, dot(a, b))
	})
}

func TestQuantisedCosineIsNearTheTrueOne(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		a, b := make([]float32, 256), make([]float32, 256)
		for i := range a {
			a[i], b[i] = float32(r.NormFloat64()), float32(r.NormFloat64()*3)
		}
		codeA, codeB := make([]int8, 256), make([]int8, 256)
		worth := quantise(a, codeA) * quantise(b, codeB)
		require.InDelta(t, cosine(a, b), float32(dot(codeA, codeB))*worth, 0.01)
	}
}

func TestDecodeRefusesWhatIsNoVector(t *testing.T) {
	t.Parallel()
	out := make([]float32, 2)
	raw := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.5)), math.Float32bits(-2))
	require.NoError(t, decode(raw, out))
	require.Equal(t, []float32{1.5, -2}, out)
	require.ErrorIs(t, decode(raw[:7], out), errBadVector)
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		require.ErrorIs(t, decode(append(raw[:4:4], binary.LittleEndian.AppendUint32(nil, math.Float32bits(bad))...), out), errBadVector)
	}
}

func TestVersionsAreCompared(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"0.8.0": true, "0.8": true, "0.7.4": false, "1.0": true, "0.10.1": true, "": false, "x": false} {
		require.Equal(t, want, atLeast(version, 0, 8), version)
	}
}

func TestTheTextOfAVectorIsExact(t *testing.T) {
	t.Parallel()
	require.Equal(t, "[0.1,-2,3e+20]", text([]float32{0.1, -2, 3e20}))
	require.Equal(t, "[]", text(nil))
}

func TestNotReadyIsBelievedForAWhile(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	p := NewPgvector(PgvectorOptions{Now: func() time.Time { return at }})
	p.asked[cacheKey{source: 1, revision: 1, embedder: 1, dimensions: 3}] = at.Add(-recheck / 2)
	_, err := p.Prepare(t.Context(), Embedder{ID: 1, Dimensions: 3}, nil)
	require.NoError(t, err)
	require.ErrorAs(t, p.check(t.Context(), cacheKey{source: 1, revision: 1, embedder: 1, dimensions: 3}), new(notReadyError))
	_, err = p.Prepare(t.Context(), Embedder{ID: 1, Dimensions: maxIndexed + 1}, nil)
	require.ErrorContains(t, err, "too many")
}
