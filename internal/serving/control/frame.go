package control

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	headerBytes = 4
	// maxRequest is generous: the longest command has a few dozen bytes.
	maxRequest = 64 << 10
	// maxAnswer is what Gunicorn's client accepts.
	maxAnswer = 16 << 20
)

// tooLargeError is a frame beyond the limit; nothing of it has been read.
type tooLargeError struct{ length, limit uint32 }

// Error says how large it is and how large it may be.
func (e *tooLargeError) Error() string {
	return fmt.Sprintf("message too large: %d bytes, at most %d are accepted", e.length, e.limit)
}

// readFrame reads one frame's payload; io.EOF means that there is none. begun is
// called after the first byte, from which on the rest is due.
func readFrame(r io.Reader, limit uint32, begun func() error) ([]byte, error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r, header[:1]); err != nil {
		return nil, err
	}
	if err := begun(); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r, header[1:]); err != nil {
		return nil, fmt.Errorf("read the length of a message: %w", unexpected(err))
	}
	length := binary.BigEndian.Uint32(header[:])
	if length > limit {
		return nil, &tooLargeError{length, limit}
	}
	// Memory grows with what arrives, not with what was announced.
	var payload bytes.Buffer
	if _, err := io.CopyN(&payload, r, int64(length)); err != nil {
		return nil, fmt.Errorf("read a message of %d bytes: %w", length, unexpected(err))
	}
	return payload.Bytes(), nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// writeFrame sends v in one write, if it is not larger than any reader takes.
func writeFrame(w io.Writer, v any) error {
	frame := bytes.NewBuffer(make([]byte, headerBytes, 512))
	encoder := json.NewEncoder(frame)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	length := frame.Len() - headerBytes
	if length > maxAnswer {
		return &tooLargeError{uint32(length), maxAnswer}
	}
	binary.BigEndian.PutUint32(frame.Bytes(), uint32(length))
	if _, err := w.Write(frame.Bytes()); err != nil {
		return fmt.Errorf("send a message: %w", err)
	}
	return nil
}

// request is what a client sends.
type request struct {
	id    json.RawMessage
	words []string // of command and args
}

// answer is what it gets.
type answer struct {
	ID     json.RawMessage `json:"id"`
	Status string          `json:"status"`
	Data   any             `json:"data,omitempty"`
	Error  string          `json:"error,omitempty"`
}

const (
	statusOK    = "ok"
	statusError = "error"
)

func accepted(id json.RawMessage, data any) answer {
	return answer{ID: id, Status: statusOK, Data: data}
}

func refused(id json.RawMessage, why string) answer {
	return answer{ID: id, Status: statusError, Error: why}
}

// noID answers what had no id that could be read, as Gunicorn does.
func noID() json.RawMessage { return json.RawMessage("0") }

// errNoMessage is a payload that is no message at all; the rest of the connection
// cannot be trusted either.
var errNoMessage = errors.New("a message is a JSON object such as {\"id\": 1, \"command\": \"show workers\"}")

// parseRequest reads a payload. The id is valid also beside an error.
func parseRequest(payload []byte) (request, error) {
	var members struct {
		ID      json.RawMessage `json:"id"`
		Command json.RawMessage `json:"command"`
		Args    json.RawMessage `json:"args"`
	}
	if err := json.Unmarshal(payload, &members); err != nil {
		return request{id: noID()}, errNoMessage
	}
	q := request{id: members.ID}
	if len(q.id) == 0 {
		q.id = noID()
	}
	var command string
	if len(members.Command) > 0 && json.Unmarshal(members.Command, &command) != nil {
		return q, invalid("command is not a text")
	}
	words, err := splitWords(command)
	if err != nil {
		return q, err
	}
	if len(words) == 0 {
		return q, errEmpty
	}
	args, err := argWords(members.Args)
	q.words = slices.Concat(words, args)
	return q, err
}

// argWords reads args: a list of texts, numbers and truth values.
func argWords(raw json.RawMessage) ([]string, error) {
	var list []json.RawMessage
	if len(raw) > 0 && json.Unmarshal(raw, &list) != nil {
		return nil, invalid("args is not a list")
	}
	words := make([]string, 0, len(list))
	for _, item := range list {
		var text string
		switch {
		case item[0] == '"':
			if err := json.Unmarshal(item, &text); err != nil {
				return nil, errNoMessage
			}
		case item[0] == '{' || item[0] == '[' || string(item) == "null":
			return nil, invalid("args may hold texts and numbers only")
		default:
			text = string(item)
		}
		words = append(words, text)
	}
	return words, nil
}
