package bus

import (
	"encoding/json"
	"testing"
)

// FuzzMessages gives a process messages that no process of ours sends: whoever shares
// the database or Redis can. What can be read reaches the subscribers, and can be sent
// again.
func FuzzMessages(f *testing.F) {
	for _, seed := range []string{
		`{"o":"a","h":[{"s":"task:1","n":7,"r":["task:1"]}]}`, `{"o":"a","c":9}`, `{"o":"a","s":[{"t":"cancel","k":"1"}]}`, `{}`, `null`, `[]`, ``,
		`{"o":"a","h":[{"s":"task:1","n":7,"e":{"xid":"12","envelope":{"sequence":7,"sequence_stream":"task:1","room_keys":["task:1"],"payload":{}}}}]}`,
		`{"o":"a","h":[{"s":"t","n":1,"e":{}},{"n":-1},{"s":"t","n":9223372036854775807}],"s":[{}]}`, `{"h":[null]}`, `{"o":"a","h":[{"e":null}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := newRelay("fuzz", Options{}.withDefaults(), nil, limits{message: maxPayload, hint: maxPayload - overhead})
		var heard []Hint
		r.Subscribe(func(h Hint) { heard = append(heard, h) })
		r.handle(string(raw))
		for _, h := range heard {
			one, err := encodeHint(h, r.limits.hint)
			if err != nil {
				t.Fatalf("hint %+v cannot be sent again: %v", h, err)
			}
			if len(one) > r.limits.hint || one != nil && !json.Valid(one) {
				t.Fatalf("hint of %d bytes: %s", len(one), one)
			}
		}
	})
}
