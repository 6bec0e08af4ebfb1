package vector

import (
	"encoding/binary"
	"errors"
	"math"
)

// errBadVector says that stored bytes are no vector: a damaged row, or one of another embedder.
var errBadVector = errors.New("stored vector has another length than its embedder's dimensions, or no finite numbers")

// decode reads a stored vector, little endian float32, into out, whose length is the embedder's dimensions.
func decode(raw []byte, out []float32) error {
	if len(raw) != 4*len(out) {
		return errBadVector
	}
	for i := range out {
		x := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		if x-x != 0 { // not a number, or infinite
			return errBadVector
		}
		out[i] = x
	}
	return nil
}

// norm is the Euclidean length.
func norm(v []float32) float64 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// quantise writes v, scaled to length one, as one byte a dimension and returns what a byte is worth. The largest
// component takes the whole range, so the error of a component is at most 1/254 of it. A vector of zeros is worth nothing.
func quantise(v []float32, out []int8) float32 {
	length := norm(v)
	var largest float64
	for _, x := range v {
		largest = max(largest, math.Abs(float64(x)))
	}
	if length == 0 || largest == 0 {
		clear(out)
		return 0
	}
	factor := 127 / largest
	for i, x := range v {
		out[i] = int8(math.Round(float64(x) * factor))
	}
	return float32(largest / length / 127)
}

// dot is the product of two vectors of bytes. Both must have the same length. Four sums
// do not wait for each other; the slices of fixed length spare the checks of bounds.
func dot(a, b []int8) int32 {
	var s0, s1, s2, s3 int32
	for len(a) >= 8 && len(b) >= 8 {
		x, y := a[:8:8], b[:8:8]
		s0 += int32(x[0])*int32(y[0]) + int32(x[4])*int32(y[4])
		s1 += int32(x[1])*int32(y[1]) + int32(x[5])*int32(y[5])
		s2 += int32(x[2])*int32(y[2]) + int32(x[6])*int32(y[6])
		s3 += int32(x[3])*int32(y[3]) + int32(x[7])*int32(y[7])
		a, b = a[8:], b[8:]
	}
	for i := range min(len(a), len(b)) {
		s0 += int32(a[i]) * int32(b[i])
	}
	return s0 + s1 + s2 + s3
}

// cosine measures two vectors exactly; 0 when one has no direction.
func cosine(a, b []float32) float32 {
	var sum float64
	for i := range min(len(a), len(b)) {
		sum += float64(a[i]) * float64(b[i])
	}
	lengths := norm(a) * norm(b)
	if lengths == 0 {
		return 0
	}
	return float32(sum / lengths)
}
