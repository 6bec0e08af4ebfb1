package search_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/rag/search"
	"github.com/llmctl/studio/internal/testkit/ragtest"
)

// lexicalOnly is a library without vectors, so that nothing but words can find its pages.
func lexicalOnly(files ...ragtest.File) []ragtest.File {
	for i := range files {
		for j := range files[i].Chunks {
			files[i].Chunks[j].Vector = nil
		}
	}
	return files
}

func TestMisspeltWordsOfTheTextAreFoundAndNamed(t *testing.T) {
	t.Parallel()
	b := setup(t, lexicalOnly(append(library(), page("notes/a.md", "Рецепт пирога с яблоками."), page("notes/b.md", "restoration of paintings"))...)...)
	for question, want := range map[string]struct{ path, word, searched string }{
		"how long are bakcups kept":  {"guide/backup.md", "bakcups", "backups"},
		"unpak the thing":            {"guide/install.md", "unpak", "unpack"},
		"connecttion":                {"guide/networking.md", "connecttion", "connection"},
		"refuzed":                    {"guide/networking.md", "refuzed", "refused"},
		"thirtyy":                    {"guide/backup.md", "thirtyy", "thirty"},
		"рецпт":                      {"notes/a.md", "рецпт", "рецепт"},
		"replases the whole of it !": {"guide/backup.md", "replases", "replaces"},
	} {
		r := b.ask(t, question, mode(search.ModeLexical))
		require.NotEmpty(t, r.Results, question)
		require.Equal(t, want.path, r.Results[0].Path, question)
		require.Contains(t, r.Stats.Corrections, search.Correction{Word: want.word, Searched: []string{want.searched}}, question)
		require.NotEmpty(t, r.Results[0].Highlights, "%s: what was searched instead is marked", question)
	}
}

func TestWordsThatAreThereOrLikeNothingAreNotCorrected(t *testing.T) {
	t.Parallel()
	b := setup(t, lexicalOnly(append(library(), page("notes/b.md", "restoring paintings, listening to bachups"))...)...)
	for _, question := range []string{
		"backups", "bachups", "zzyzx", "kept", "kepd" /* too short */, "v1.2.3", "restorig_paintins", "thirty7",
		"eackups" /* another first letter */, "restorer", /* a form of what is there */
	} {
		r := b.ask(t, question, mode(search.ModeLexical))
		require.Equal(t, []search.Correction{}, r.Stats.Corrections, question)
	}
	r := b.ask(t, `"bakcups"`, mode(search.ModeLexical))
	require.Empty(t, r.Results, "what is quoted is meant as it is written")
}

func TestScriptsWithoutSpacesAreSearchedByWords(t *testing.T) {
	t.Parallel()
	b := setup(t, lexicalOnly(
		page("zh/search.md", "本系统支持全文检索功能，可以快速查找文档。"),
		page("zh/backup.md", "数据库每天晚上自动备份，保留三十天。"),
		page("ja/search.md", "このシステムはハイブリッド検索に対応しています。"),
		page("ja/backup.md", "バックアップは毎晩自動的に作成されます。"),
		page("th/search.md", "ระบบนี้รองรับการค้นหาเอกสารอย่างรวดเร็ว"),
		page("th/backup.md", "ข้อมูลจะถูกสำรองทุกคืนและเก็บไว้สามสิบวัน"),
		page("ko/search.md", "이 시스템은 하이브리드 검색을 지원합니다."),
		page("en/mixed.md", "The HTTP検索API answers in JSON."),
	)...)
	for question, want := range map[string]string{
		"全文检索":        "zh/search.md",
		"如何查找文档？":     "zh/search.md",
		"备份保留多久":      "zh/backup.md",
		"ハイブリッド検索とは":  "ja/search.md",
		"バックアップはいつ作成": "ja/backup.md",
		"ค้นหาเอกสาร": "th/search.md",
		"สำรองข้อมูล": "th/backup.md",
		"검색":          "ko/search.md",
		"夜":           "", // as no text has it
		"晚":           "zh/backup.md",
		"http api":    "en/mixed.md",
		`"自动备份"`:      "zh/backup.md",
		`"备份自动"`:      "",
		`"检"`:         "zh/search.md",
	} {
		r := b.ask(t, question, mode(search.ModeLexical))
		if want == "" {
			require.Empty(t, r.Results, question)
			continue
		}
		require.NotEmpty(t, r.Results, question)
		require.Equal(t, want, r.Results[0].Path, question)
		require.NotEmpty(t, r.Results[0].Highlights, question)
	}
	r := b.ask(t, "全文检索功能", mode(search.ModeLexical)).Results[0]
	at := r.Highlights[0]
	require.Equal(t, "全文检索功能", string([]rune(r.Snippet)[at[0]:at[1]]), "units that overlap are marked as one")
}

// A question in such a script has no place where it would have to end.
func TestALongRunOfAScriptWithoutSpacesIsSearched(t *testing.T) {
	t.Parallel()
	b := setup(t, lexicalOnly(page("zh/search.md", "本系统支持全文检索功能，可以快速查找文档。"), page("zh/other.md", "今天天气很好。"))...)
	r := b.ask(t, "全文检索功能请告诉我这个系统到底能不能够在非常大的文档集合里面快速而准确地找到我所需要的全部内容以及它们所在的位置和相关的其他资料来源还有作者", mode(search.ModeLexical))
	require.NotEmpty(t, r.Results)
	require.Equal(t, "zh/search.md", r.Results[0].Path)
}
