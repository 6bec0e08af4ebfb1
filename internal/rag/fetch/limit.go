package fetch

import (
	"io"

	"github.com/llmctl/studio/internal/errs"
)

// Limited gives at most limit bytes of r and then fails with too_large, if there are
// more. A limit of 0 is none.
func Limited(r io.ReadCloser, path string, limit int64) io.ReadCloser {
	if limit <= 0 {
		return r
	}
	return &limited{ReadCloser: r, path: path, limit: limit, left: limit}
}

type limited struct {
	io.ReadCloser
	path        string
	limit, left int64
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, TooLargeError(l.path, l.limit)
	}
	// One byte more than is left shows whether there are more.
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.ReadCloser.Read(p)
	if int64(n) <= l.left {
		l.left -= int64(n)
		return n, err
	}
	n, l.left = int(l.left), -1
	return n, TooLargeError(l.path, l.limit)
}

// TooLargeError is what reading a file gives that is larger than it may be.
func TooLargeError(path string, limit int64) error {
	return errs.Ef(errs.TooLarge, "rag.file_too_large", "%s is larger than %d bytes, the limit of this source.", path, limit)
}

// GoneError is what reading a file gives that is not there any more.
func GoneError(path string) *errs.Error {
	return errs.Ef(errs.NotFound, "rag.file_gone", "%s is not there any more. The next delta index takes note of that.", path)
}
