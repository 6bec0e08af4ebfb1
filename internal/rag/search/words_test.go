package search

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestPartsOfIdentifiers(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]string{
		"parseHTTPRequest": "parse http request", "parse_http_request": "parse http request", "HTTPServer2": "http server2",
		"net/http.Client": "net http client", "sha256Sum": "sha256 sum", "ÜberGroß": "über groß", "__init__": "init", "plain": "plain", "ABC": "abc", "": "",
	} {
		require.Equal(t, want, strings.Join(Parts(token), " "), token)
	}
}

func TestWordsLeavesPlainTextOut(t *testing.T) {
	t.Parallel()
	require.Empty(t, Words("Only plain words, nothing else. Really!"))
	require.Equal(t, "read all io copy n", Words("ReadAll calls io.ReadAll; io.CopyN copies."))
	require.Empty(t, Words(strings.Repeat("aB", 500)), "data is no identifier")
	require.LessOrEqual(t, len(strings.Fields(Words(manyIdentifiers()))), maxWords)
}

func TestWordsTakesScriptsWithoutSpacesApart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"全文检索":                             "全文 文检 检索 索",
		"ค้นหา":                            "ค้น ้นห นหา หา า",
		"用HTTP请求。":                         "用 http 请求 求",
		"Only plain":                       "",
		"検索":                               "検索 索",
		strings.Repeat("字", 500) + "Token": "字字 字 token",
	} {
		require.Equal(t, want, Words(text), text)
	}
	require.LessOrEqual(t, len(strings.Fields(Words(manyCharacters()))), maxWords)
}

func manyCharacters() string {
	var b strings.Builder
	for r := rune(0x4E00); r < 0x4E00+3000; r++ {
		b.WriteRune(r)
	}
	return b.String()
}

func manyIdentifiers() string {
	var b strings.Builder
	for i := range 5000 {
		b.WriteString("name" + strings.Repeat("x", i%50) + "_" + string(rune('a'+i%26)) + strings.Repeat("y", i%97) + " ")
	}
	return b.String()
}

func FuzzWords(f *testing.F) {
	for _, seed := range []string{"全文HTTP检索", "ค้นหา", "parseHTTPRequest", "a_b.c-d/e", "ÄÖ_ü", "\xff\xfeaB", "x\u0301Y", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := Words(text)
		if utf8.ValidString(text) {
			require.True(t, utf8.ValidString(words))
		}
		require.LessOrEqual(t, len(strings.Fields(words)), maxWords)
		require.NotContains(t, words, "\x00")
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`how "a b" c`, `"`, `"""`, `a" "b`, "“typographic” quotes", "x -y | z & ()", "a\x00b", "parseHTTPRequest"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if checkQuestion(text) != nil {
			return
		}
		q := parse(text)
		require.LessOrEqual(t, len(q.terms), maxTerms)
		require.LessOrEqual(t, len(q.phrases), maxPhrases)
		for _, term := range q.terms {
			require.NotEmpty(t, term.word)
			require.True(t, utf8.ValidString(term.word))
			require.NotContains(t, term.word, "\x00")
		}
		for i, m := range q.phraseMatchers() {
			require.True(t, m.MatchString(q.phrases[i]), q.phrases[i])
		}
	})
}

func FuzzSnippet(f *testing.F) {
	f.Add("Some text. With a Word in it\nand moreWords to come", "word", 20)
	f.Add(strings.Repeat("ä ö ", 100)+"ziel", "ziel", 30)
	f.Add("\xff\xfe a", "a", 1)
	f.Fuzz(func(t *testing.T, text, word string, length int) {
		if length < 1 || length > 1000 {
			return
		}
		word = strings.ToLower(word)
		places, values := marks(text, func(w string) float64 {
			if strings.HasPrefix(w, word) {
				return 1
			}
			return 0
		})
		places, values = withPhrases(text, []string{"text with"}, places, values)
		for i := 1; i < len(places); i++ {
			require.LessOrEqual(t, places[i-1].to, places[i].from)
		}
		cut, highlights := snippet(text, places, values, length)
		runes := utf8.RuneCountInString(cut)
		last := 0
		for _, h := range highlights {
			require.True(t, last <= h[0] && h[0] < h[1] && h[1] <= runes, "%v in %d characters", h, runes)
			last = h[1]
		}
		require.LessOrEqual(t, len(cut), length+len("…  …")+4)
		if utf8.ValidString(text) {
			require.True(t, utf8.ValidString(cut))
			require.Contains(t, text, strings.TrimSuffix(strings.TrimPrefix(cut, "… "), " …"))
		}
	})
}

func TestTheSnippetIsCutWhereMostWordsAre(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("filler and more of it. ", 40) + "Here the needle meets the thread. " + strings.Repeat("the end of it. ", 40)
	places, values := marks(text, func(w string) float64 { return map[string]float64{"needle": 3, "thread": 2, "end": 1}[w] })
	cut, highlights := snippet(text, places, values, 100)
	runes := []rune(cut)
	require.Equal(t, "needle", string(runes[highlights[0][0]:highlights[0][1]]))
	require.Equal(t, "thread", string(runes[highlights[1][0]:highlights[1][1]]))
	require.True(t, strings.HasPrefix(cut, "… ") && strings.HasSuffix(cut, " …"), cut)
}

func TestFusionPutsAheadWhatBothListsHave(t *testing.T) {
	t.Parallel()
	lexical := list{weight: 1, hits: []hit{{1, 9}, {2, 8}, {3, 7}}}
	near := list{weight: 1, vector: true, hits: []hit{{4, .9}, {3, .8}}}
	for range 20 { // maps must not show
		var ids []int64
		for _, f := range fuse([]list{lexical, near}) {
			ids = append(ids, f.id)
		}
		require.Equal(t, []int64{3, 1, 4, 2}, ids)
	}
	deep := list{weight: 1}
	for i := range int64(60) {
		deep.hits = append(deep.hits, hit{100 + i, 1})
	}
	both := fuse([]list{{weight: 1, hits: append([]hit{{1, 1}}, deep.hits...)}, {weight: 1, vector: true, hits: append([]hit{{2, 1}}, deep.hits...)}})
	for _, f := range both[len(both)-40:] {
		require.NotContains(t, []int64{1, 2}, f.id)
	}
	for i := 1; i < len(both); i++ {
		require.GreaterOrEqual(t, both[i-1].score, both[i].score)
	}
	require.Empty(t, fuse(nil))
}
