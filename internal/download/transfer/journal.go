package transfer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A journal is a header of fixed size and a record for each segment. Records are
// written one by one, in place, and carry a checksum: one that was torn counts as
// nothing.
const (
	headerSize = 1024
	recordSize = 32
	// minSegment is what is worth a request of its own; maxSegments bounds the journal.
	minSegment  = 8 << 20
	maxSegments = 256
)

// header is the first block of a journal, as JSON, padded with blanks.
type header struct {
	Version int    `json:"version"`
	Key     string `json:"key"`
	Size    int64  `json:"size"`
	Segment int64  `json:"segment"`         // size of each segment but the last
	ETag    string `json:"etag,omitempty"`  // of the server that sent the bytes
	Again   bool   `json:"again,omitempty"` // the file was fetched once already and had another hash
}

const journalVersion = 1

// record is how far a segment is.
type record struct {
	written int64  // bytes from the segment's beginning
	synced  int64  // of these, those that a sync has confirmed
	boot    uint64 // in which written was written
}

func segmentSize(size int64) int64 {
	return max(minSegment, (size+maxSegments-1)/maxSegments)
}

func (h header) segments() int {
	if h.Size == 0 {
		return 0
	}
	return int((h.Size-1)/h.Segment) + 1
}

func (h header) bounds(segment int) (from, to int64) {
	from = int64(segment) * h.Segment
	return from, min(from+h.Segment, h.Size)
}

func (h header) encode() ([]byte, error) {
	raw, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode journal: %w", err)
	}
	if len(raw) > headerSize-1 {
		return nil, fmt.Errorf("journal header of %d bytes", len(raw))
	}
	out := bytes.Repeat([]byte{' '}, headerSize)
	copy(out, raw)
	out[headerSize-1] = '\n'
	return out, nil
}

func (r record) encode() []byte {
	out := make([]byte, recordSize)
	binary.LittleEndian.PutUint64(out, uint64(r.written))
	binary.LittleEndian.PutUint64(out[8:], uint64(r.synced))
	binary.LittleEndian.PutUint64(out[16:], r.boot)
	binary.LittleEndian.PutUint32(out[24:], crc32.ChecksumIEEE(out[:24]))
	return out
}

func decodeRecord(raw []byte) (record, bool) {
	if len(raw) < recordSize || binary.LittleEndian.Uint32(raw[24:]) != crc32.ChecksumIEEE(raw[:24]) {
		return record{}, false
	}
	return record{
		written: int64(binary.LittleEndian.Uint64(raw)), synced: int64(binary.LittleEndian.Uint64(raw[8:])), boot: binary.LittleEndian.Uint64(raw[16:]),
	}, true
}

var errNoJournal = errors.New("no usable journal")

// parseJournal reads what a journal says of a file of this key and size whose part
// has partSize bytes, in the given boot. What it gives never counts more than the
// part can hold.
func parseJournal(raw []byte, key string, size, partSize int64, boot uint64) (header, []record, error) {
	if len(raw) < headerSize {
		return header{}, nil, errNoJournal
	}
	var h header
	if err := json.Unmarshal(bytes.TrimRight(raw[:headerSize], " \n"), &h); err != nil {
		return header{}, nil, errNoJournal
	}
	if h.Version != journalVersion || h.Key != key || h.Size != size || h.Segment <= 0 || h.Segment > max(size, minSegment) || h.segments() > maxSegments {
		return header{}, nil, errNoJournal
	}
	records := make([]record, h.segments())
	for i := range records {
		at := headerSize + i*recordSize
		if at+recordSize > len(raw) {
			break
		}
		r, ok := decodeRecord(raw[at:])
		if !ok {
			continue
		}
		from, to := h.bounds(i)
		n := r.written
		if boot == 0 || r.boot != boot {
			n = min(n, r.synced)
		}
		n = max(0, min(n, to-from, partSize-from))
		records[i] = record{written: n, synced: max(0, min(r.synced, n)), boot: boot}
	}
	return h, records, nil
}

// journal is an open one.
type journal struct {
	file *os.File
	header
}

func (j *journal) create() error {
	raw, err := j.encode()
	if err != nil {
		return err
	}
	if err := j.file.Truncate(0); err != nil {
		return fmt.Errorf("empty journal: %w", err)
	}
	if _, err := j.file.WriteAt(raw, 0); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// rewriteHeader keeps the records.
func (j *journal) rewriteHeader() error {
	raw, err := j.encode()
	if err != nil {
		return err
	}
	if _, err := j.file.WriteAt(raw, 0); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (j *journal) put(segment int, r record) error {
	if _, err := j.file.WriteAt(r.encode(), int64(headerSize+segment*recordSize)); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func readAll(f *os.File) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, 0, headerSize+maxSegments*recordSize))
}
