package socketio

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkDeflate is what permessage-deflate without context takeover would cost for each event, and save for each
// delivery; the README tells the conclusion. The frame of all events is made in any case ("plain").
func BenchmarkDeflate(b *testing.B) {
	event := func(n int) json.RawMessage {
		return fmt.Appendf(nil, `{"contract_version":"1","event_id":"0199f3a2-7c1e-7b52-9d41-%012x","idempotency_key":"0199f3a2-7c1e-7b52-9d41-%012x","sequence":%d,`+
			`"sequence_stream":"flowchart_run:%d","emitted_at":"2026-11-25T22:14:05.%06dZ","event_type":"flowchart:node:updated","entity_kind":"node_run","entity_id":"%d",`+
			`"room_keys":["flowchart_run:%d","task:%d","studio"],"request_id":"01J%010d","correlation_id":"01K%010d","runtime":null,`+
			`"payload":{"status":"running","attempt":1,"node":"summary","kind":"task","progress":%d,"message":"Reading source %d of 40"}}`,
			n*7919, n*7919, n, n%9, n*37%1000000, n*13, n%9, n*13, n*31, n*17, n%100, n%40)
	}
	b.Run("plain", func(b *testing.B) {
		n, size := 0, 0
		for b.Loop() {
			m, err := NewMessage("/rt", "flowchart:node:updated", event(n))
			require.NoError(b, err)
			n, size = n+1, size+m.Size()
		}
		b.ReportMetric(float64(size)/float64(n), "bytes/event")
	})
	for _, level := range []int{flate.BestSpeed, flate.DefaultCompression} {
		b.Run(fmt.Sprintf("level %d", level), func(b *testing.B) {
			var out bytes.Buffer
			w, err := flate.NewWriter(&out, level)
			require.NoError(b, err)
			n, size := 0, 0
			for b.Loop() {
				m, err := NewMessage("/rt", "flowchart:node:updated", event(n))
				require.NoError(b, err)
				out.Reset()
				w.Reset(&out)
				_, _ = w.Write(m.frames[0].payload())
				require.NoError(b, w.Flush())
				n, size = n+1, size+out.Len()
			}
			b.ReportMetric(float64(size)/float64(n), "bytes/event")
		})
	}
}
