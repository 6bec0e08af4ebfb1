package realtime

import (
	"encoding/json"
	"testing"
)

// FuzzRequests gives arbitrary arguments to what reads the requests of clients.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		`{"rooms":["studio","task:1"],"position":"10:20:10,14","after":{"task:1":5}}`, `{"rooms":[]}`, `{"rooms":["task:01","flowchart_node:1/a"]}`,
		`{"rooms":null}`, `{"rooms":[1]}`, `[]`, `null`, `{"rooms":["a"],"position":"0:0:"}`, `{"rooms":["a"],"after":{"a":1e300}}`,
		`{"rooms":["a"],"after":{"a\u0000":1,"":2}}`, `{"rooms":["a"],"position":"5:7:9"}`, ` {"ROOMS":["a","a"]}`, `{"rooms":["\ud800"]}`,
	} {
		f.Add([]byte(seed))
	}
	numbered, node := roomPatterns()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return // the protocol below lets nothing else through
		}
		args := []json.RawMessage{raw}
		s, err := parseSubscription(args)
		if err != nil {
			if f := failure(err); f.OK || f.Error.Message == "" || f.Error.Reason == "" {
				t.Fatalf("refusal without words: %+v", f)
			}
			return
		}
		if len(s.rooms) == 0 || len(s.rooms) > maxAskedRooms || len(s.after) > maxAfter {
			t.Fatalf("limits are not kept: %d rooms, %d streams", len(s.rooms), len(s.after))
		}
		seen := map[string]bool{}
		for _, room := range s.rooms {
			if seen[room] {
				t.Fatalf("room %q twice", room)
			}
			seen[room] = true
			if knownRoom(room, numbered, node) && len(room) > maxRoomLength {
				t.Fatalf("room of %d bytes", len(room))
			}
			if len(clip(room)) > maxRoomLength {
				t.Fatalf("room %q comes back at full length", room)
			}
		}
		for stream, n := range s.after {
			if !streamName(stream) || n < 0 {
				t.Fatalf("stream %q after %d", stream, n)
			}
		}
		if !s.position.IsZero() {
			again, err := parsePosition(s.position.String())
			if err != nil || again.String() != s.position.String() {
				t.Fatalf("position %s became %s: %v", s.position, again, err)
			}
		}
	})
}
