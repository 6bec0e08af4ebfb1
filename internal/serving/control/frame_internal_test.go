package control

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
)

func TestWordsAreSplitLikeAShellDoes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"":                       nil,
		"  show\tall ":           {"show", "all"},
		`a "b c" 'd "e'`:         {"a", "b c", `d "e`},
		`a\ b "c\"d\e" 'f\g' ''`: {"a b", `c"d\e`, `f\g`, ""},
		`x"y"'z'`:                {"xyz"},
		"größe 'ж'":              {"größe", "ж"},
	} {
		got, err := splitWords(line)
		require.NoError(t, err)
		require.Equal(t, want, got, line)
	}
	for _, line := range []string{`a "b`, `'`, `a\`} {
		_, err := splitWords(line)
		require.True(t, errs.Is(err, errs.Invalid), line)
	}
}

func FuzzWordsSurviveJoining(f *testing.F) {
	f.Add("show", "all")
	f.Add("", `it's "a" \ word`)
	f.Fuzz(func(t *testing.T, a, b string) {
		want := []string{string([]rune(a)), string([]rune(b))} // invalid bytes become the replacement character
		got, err := splitWords(joinWords(want))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// FuzzConversation feeds a server's reader anything at all.
func FuzzConversation(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x1d{\"id\":1,\"command\":\"show all\"}"))
	f.Add([]byte("\x00\x00\x00\x33{\"id\":1,\"command\":\"worker add\",\"args\":[2, true, null]}"))
	f.Add([]byte("\x80\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := bytes.NewReader(sent)
		for {
			payload, err := readFrame(r, maxRequest, func() error { return nil })
			if err != nil {
				return
			}
			require.LessOrEqual(t, len(payload), maxRequest)
			q, err := parseRequest(payload)
			require.NotEmpty(t, q.id)
			if err == nil {
				_, _, err = find(q.words)
			}
			if errors.Is(err, errNoMessage) {
				return
			}
			reply := accepted(q.id, nil)
			if err != nil {
				reply = refused(q.id, message(err))
			}
			var out bytes.Buffer
			require.NoError(t, writeFrame(&out, reply))
			echoed, err := readFrame(&out, maxAnswer, func() error { return nil })
			require.NoError(t, err)
			require.NotEmpty(t, echoed)
		}
	})
}

func TestEveryCommandHasHelpAndOneMeaning(t *testing.T) {
	t.Parallel()
	var names []string
	for _, c := range commands() {
		require.NotEmpty(t, c.help, c.name)
		require.NotContains(t, names, c.name)
		names = append(names, c.name)
		got, _, err := find([]string{c.name})
		if bytes.ContainsRune([]byte(c.name), ' ') {
			require.Error(t, err, "one word is no pair")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.name, got.name)
	}
	require.True(t, slices.Contains(names, "drain"))
}

func TestNearestGuessesSlipsOnly(t *testing.T) {
	t.Parallel()
	known := []string{"show", "worker", "reload", "reopen", "shutdown", "help"}
	for word, want := range map[string]string{"shw": "show", "relaod": "reload", "workers": "worker", "stop": "", "xyz": "", "": ""} {
		require.Equal(t, want, nearest(word, known), word)
	}
}
