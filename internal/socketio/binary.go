package socketio

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// Binary is an argument that travels as raw bytes instead of JSON. Only an argument itself can be Binary, not a value
// inside one; for those see [NewBinaryMessage].
type Binary []byte

// placeholder is what stands in the JSON for the attachment with that number.
func placeholder(num int) json.RawMessage {
	return json.RawMessage(`{"_placeholder":true,"num":` + strconv.Itoa(num) + `}`)
}

// encodeArgs turns values into JSON, taking out those that are [Binary].
func encodeArgs(args []any) (items []json.RawMessage, attachments [][]byte, err error) {
	items = make([]json.RawMessage, 0, len(args)+1)
	for i, arg := range args {
		switch v := arg.(type) {
		case Binary:
			items = append(items, placeholder(len(attachments)))
			attachments = append(attachments, bytes.Clone(v))
		case json.RawMessage:
			if !json.Valid(v) {
				return nil, nil, fmt.Errorf("socketio: argument %d is not valid JSON", i)
			}
			items = append(items, v)
		default:
			item, err := encodeJSON(v)
			if err != nil {
				return nil, nil, fmt.Errorf("encode argument %d: %w", i, err)
			}
			items = append(items, item)
		}
	}
	return items, attachments, nil
}

// encodeJSON is json.Marshal without the escapes that only matter inside HTML.
func encodeJSON(v any) (json.RawMessage, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}

// inlineAttachments replaces every placeholder in args by its attachment as a base64 string, which is how
// encoding/json reads a []byte.
func inlineAttachments(args []json.RawMessage, attachments [][]byte) ([]json.RawMessage, error) {
	out := make([]json.RawMessage, len(args))
	for i, arg := range args {
		dec := json.NewDecoder(bytes.NewReader(arg))
		dec.UseNumber() // numbers keep their spelling
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i, err)
		}
		v, err := inline(v, attachments)
		if err != nil {
			return nil, err
		}
		if out[i], err = encodeJSON(v); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i, err)
		}
	}
	return out, nil
}

func inline(v any, attachments [][]byte) (any, error) {
	var err error
	switch v := v.(type) {
	case []any:
		for i := range v {
			if v[i], err = inline(v[i], attachments); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if v["_placeholder"] == true {
			return attachmentOf(v["num"], attachments)
		}
		for key := range v {
			if v[key], err = inline(v[key], attachments); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func attachmentOf(num any, attachments [][]byte) (string, error) {
	digits, ok := num.(json.Number)
	if !ok {
		return "", fmt.Errorf("placeholder number: %w", errMalformed)
	}
	n, err := strconv.Atoi(digits.String())
	if err != nil || n < 0 || n >= len(attachments) {
		return "", fmt.Errorf("placeholder number: %w", errMalformed)
	}
	return base64.StdEncoding.EncodeToString(attachments[n]), nil
}
