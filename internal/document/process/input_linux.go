package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newInput makes a place in memory that two processes can have open.
func newInput() (*os.File, error) {
	fd, err := unix.MemfdCreate("document", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a place for documents: %w", err)
	}
	return os.NewFile(uintptr(fd), "document"), nil
}

// mapped gives the first size bytes of a file, where they are. They may be read until
// release is called, and while the other side leaves them there.
func mapped(f *os.File, size int64) (data []byte, release func(), err error) {
	if size == 0 {
		return nil, func() {}, nil
	}
	data, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map the document: %w", err)
	}
	return data, func() { _ = unix.Munmap(data) }, nil
}
