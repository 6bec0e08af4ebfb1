//go:build !linux

package process

import (
	"fmt"
	"io"
	"os"
)

// newInput makes a file that two processes can have open and nobody else finds.
func newInput() (*os.File, error) {
	f, err := os.CreateTemp("", "document-")
	if err != nil {
		return nil, fmt.Errorf("make a place for documents: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("make a place for documents: %w", err)
	}
	return f, nil
}

// mapped reads the first size bytes of a file.
func mapped(f *os.File, size int64) (data []byte, release func(), err error) {
	data = make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, size), data); err != nil {
		return nil, nil, fmt.Errorf("read the document: %w", err)
	}
	return data, func() {}, nil
}
