package redisadapter

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tinylib/msgp/msgp"

	"github.com/llmctl/studio/internal/socketio"
)

func TestMessagePackBecomesTheJSONThatJavaScriptWouldWrite(t *testing.T) {
	t.Parallel()
	for want, raw := range map[string][]byte{
		`null`:                 {0xc0},
		`true`:                 {0xc3},
		`-1`:                   {0xff},
		`18446744073709551615`: msgp.AppendUint64(nil, math.MaxUint64),
		`-9223372036854775808`: msgp.AppendInt64(nil, math.MinInt64),
		`1.5`:                  msgp.AppendFloat64(nil, 1.5),
		`0.1`:                  msgp.AppendFloat32(nil, 0.1),
		`1e+300`:               msgp.AppendFloat64(nil, 1e300),
		`"\"\\\u0000\u000aü😀<` + "\u2028" + `"`: msgp.AppendString(nil, "\"\\\x00\nü😀<\u2028"),
		`"a` + "\uFFFD" + `b"`:                  msgp.AppendString(nil, "a\xffb"),
		`[]`:                                    {0x90},
		`{}`:                                    {0x80},
		`{"a":[1,{}]}`:                          {0x81, 0xa1, 'a', 0x92, 1, 0x80},
		`{"1":2}`:                               {0x81, 1, 2},
		`[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`: {0x92, 0xc4, 1, 7, 0xc4, 0},
		`"2023-11-14T22:13:20.000Z"`:                                    {0xd6, 0xff, 0x65, 0x53, 0xf1, 0x00},
		`"1970-01-01T00:00:00.001Z"`:                                    {0xd7, 0x00, 0, 0, 0, 0, 0, 0, 0, 1},
	} {
		text, _, err := toJSON(raw)
		require.NoError(t, err, want)
		require.Equal(t, want, string(text))
		require.True(t, json.Valid(text), want)
	}
	for _, raw := range [][]byte{msgp.AppendFloat64(nil, math.NaN()), msgp.AppendFloat32(nil, float32(math.Inf(-1))), {0xd4, 0, 0}} {
		text, _, err := toJSON(raw)
		require.NoError(t, err)
		require.Equal(t, "null", string(text))
	}
}

func TestMessagePackThatIsWrongOrTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{
		"empty": {}, "reserved": {0xc1}, "cut text": {0xa5, 'a'}, "cut array": {0x92, 1}, "cut map": {0x81, 0xa1, 'a'},
		"trailing": {1, 1}, "a huge array": {0xdd, 0xff, 0xff, 0xff, 0xff}, "a huge map": {0xdf, 0xff, 0xff, 0xff, 0xff},
		"a huge text": {0xdb, 0xff, 0xff, 0xff, 0xff}, "huge bytes": {0xc6, 0xff, 0xff, 0xff, 0xff}, "a huge extension": {0xc9, 0xff, 0xff, 0xff, 0xff, 0},
		"an unknown extension": {0xd4, 42, 0}, "a cut extension": {0xc8, 0}, "an array as a key": {0x81, 0x90, 1},
		"too deep":                append(bytes.Repeat([]byte{0x91}, maxDepth+1), 1),
		"far too deep":            bytes.Repeat([]byte{0x91}, 1<<20),
		"a year that no date has": {0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"too many attachments":    append([]byte{0xdc, 0, maxAttachments + 1}, bytes.Repeat([]byte{0xc4, 0}, maxAttachments+1)...),
	} {
		_, _, err := toJSON(raw)
		require.Error(t, err, name)
	}
}

func TestJSONSurvivesTheWayThere(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`null`, `"x"`, `[1,-1,1.5,9007199254740991,1e+300,true,{"b":{"a":[]},"a":{}}]`, `{"num":0,"_placeholder":false}`,
	} {
		raw, err := appendMsgpack(nil, json.RawMessage(text), nil)
		require.NoError(t, err)
		back, attachments, err := toJSON(raw)
		require.NoError(t, err)
		require.Equal(t, text, string(back))
		require.Empty(t, attachments)
	}
	raw, err := appendMsgpack(nil, json.RawMessage(`[{"num":1,"_placeholder":true},{"x":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":2}]`), [][]byte{{1}, {2}})
	require.NoError(t, err)
	back, attachments, err := toJSON(raw)
	require.NoError(t, err)
	require.JSONEq(t, `[{"_placeholder":true,"num":0},{"x":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":2}]`, string(back))
	require.Equal(t, [][]byte{{2}, {1}}, attachments)
	for _, bad := range []string{``, `{`, `1 2`, `[1`, `1e999`} {
		_, err := appendMsgpack(nil, json.RawMessage(bad), nil)
		require.Error(t, err, bad)
	}
}

func TestDatesOfTheStandard(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	text, _, err := toJSON(msgp.AppendTimeExt(nil, at))
	require.NoError(t, err)
	require.Equal(t, `"2026-01-02T03:04:05.678Z"`, string(text))
}

func TestChannels(t *testing.T) {
	t.Parallel()
	c := channelsOf("a*b", "/rt")
	require.Equal(t, `a\*b#/rt#*`, c.pattern())
	for channel, want := range map[string]string{"a*b#/rt#": "", "a*b#/rt#x#": "x", "a*b#/rt#x#y##": "x#y#"} {
		room, ok := c.room(channel)
		require.True(t, ok)
		require.Equal(t, want, room)
	}
	_, ok := c.room("a*b#/other#")
	require.False(t, ok)
	require.Equal(t, "a*b#/rt#x#", c.forRooms([]string{"x"}))
	require.Equal(t, "a*b#/rt#", c.forRooms([]string{"x", "y"}))
	require.Equal(t, "a*b#/rt#", c.forRooms(nil))
}

// FuzzDecode looks for panics, for output that is no JSON, and for memory that the input does not account for.
func FuzzDecode(f *testing.F) {
	whole, err := encodeBroadcast("u.1", "/rt", Event{
		Name: "e", Args: []json.RawMessage{json.RawMessage(`{"a":[1,null,"x",{"_placeholder":true,"num":0}]}`)}, Attachments: [][]byte{{1, 2}},
	}, socketio.Audience{Rooms: []string{"a"}, Except: []string{"b"}}, true)
	require.NoError(f, err)
	f.Add(whole)
	f.Add([]byte(`{"type":2,"opts":{"rooms":["a",1],"except":[]},"rooms":["b"]}`))
	f.Add([]byte{0x93, 0xa1, 'u', 0x81, 0xa4, 'd', 'a', 't', 'a', 0x91, 0xa1, 'e', 0x80})
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add(append(bytes.Repeat([]byte{0x91}, 100), 0xd7, 0xff))
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, attachments, err := toJSON(raw)
		if err == nil {
			require.True(t, json.Valid(text), "%q", text)
			require.LessOrEqual(t, len(text), 64+40*len(raw))
			again, err := appendMsgpack(nil, text, attachments)
			if err == nil {
				_, _, err = toJSON(again)
				require.NoError(t, err)
			}
		}
		if b, err := decodeBroadcast(raw); err == nil {
			if e, err := b.packet.event(b.attachments); err == nil {
				_, _ = socketio.NewBinaryMessage("/rt", e.Name, e.Attachments, e.Args...)
			}
		}
		if r, err := decodeRequest(raw); err == nil {
			_, _ = r.audience()
			_, _ = r.Packet.event(r.attachments)
		}
		var m pythonMessage
		if json.Unmarshal(raw, &m) == nil {
			_, _, _ = m.arguments()
		}
	})
}

func TestDecodersSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	encode := func(text string) []byte {
		raw, err := appendMsgpack(nil, json.RawMessage(text), nil)
		require.NoError(t, err)
		return raw
	}
	for text, want := range map[string]string{
		`1`: "decode broadcast", `["u",{}]`: "2 parts of 3", `[1,{},{}]`: "part 0", `["u",{"data":1},{}]`: "part 1",
		`["u",{},{"rooms":[true]}]`:                                        "neither text nor a number",
		`["u",{},{"rooms":[` + strings.Repeat(`"r",`, maxRooms) + `"r"]}]`: "names 1001 rooms",
	} {
		_, err := decodeBroadcast(encode(text))
		require.ErrorContains(t, err, want)
	}
	for _, text := range []string{`["u",{},{}]`, `["u",{"data":[]},{}]`, `["u",{"data":[1]},{}]`} {
		b, err := decodeBroadcast(encode(text))
		require.NoError(t, err)
		_, err = b.packet.event(nil)
		require.Error(t, err, text)
	}
}
