package process_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/document"
	"github.com/llmctl/studio/internal/document/process"
)

// The test binary plays all roles, by its first argument.
const (
	roleParser  = "parser"
	roleWatched = "watched" // a parser that only itself holds to its memory
	roleGlut    = "glut"    // takes memory at once, faster than anybody looks
	roleDeep    = "deep"    // calls itself without an end
	roleLiar    = "liar"    // answers nonsense
	roleChatty  = "chatty"  // answers more than it may
	roleMute    = "mute"    // ends before it is ready
	roleOwner   = "owner"   // a process that has parsers
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if play := map[string]func() int{
			roleParser: parserMain, roleWatched: parserMain, roleOwner: ownerMain, roleGlut: glutMain, roleMute: func() int { return 9 },
			roleDeep:   func() int { debug.SetMaxStack(1 << 20); return answering(nil) + deep(1) },
			roleLiar:   func() int { return answering([]byte("dnonsense")) },
			roleChatty: func() int { return saying([]byte{0x0c, 0, 0, 0}) }, // 192 MiB follow
		}[os.Args[1]]; play != nil {
			os.Exit(play())
		}
	}
	goleak.VerifyTestMain(m)
}

func memoryArg() int64 {
	n, err := strconv.ParseInt(strings.TrimPrefix(os.Args[2], "--memory="), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func parserMain() int {
	serve := process.Serve
	if os.Args[1] == roleWatched {
		serve = process.ServeWatched
	}
	err := serve(os.Stdin, memoryArg())
	switch {
	case errors.Is(err, process.ErrMemory):
		return process.ExitMemory
	case err != nil:
		_, _ = os.Stderr.WriteString(err.Error())
		return 1
	}
	return 0
}

func deep(n int) int {
	if n < 0 {
		return 0
	}
	return deep(n+1) + n
}

// answering is a parser that gives the same answer to everything; nil: none.
func answering(answer []byte) int {
	if answer == nil {
		return saying(nil)
	}
	return saying(append([]byte{0, 0, 0, byte(len(answer))}, answer...))
}

func saying(answer []byte) int {
	out := os.NewFile(4, "answers")
	_ = process.WriteFrame(out, []byte(`r{}`))
	for {
		if _, err := process.ReadFrame(os.Stdin, 1<<20); err != nil {
			return 0
		}
		if answer == nil {
			return 0
		}
		_, _ = out.Write(answer)
	}
}

func glutMain() int {
	bounded := process.BoundMemory(memoryArg())
	_ = process.WriteFrame(os.NewFile(4, "answers"), []byte(`r{}`))
	if _, err := process.ReadFrame(os.Stdin, 1<<20); err != nil || !bounded {
		return 9
	}
	hoard := make([]byte, 3<<30)
	for i := 0; i < len(hoard); i += 4096 {
		hoard[i] = 1
	}
	runtime.KeepAlive(hoard)
	return 0
}

// ownerMain works on a document without an end, and says which process does.
func ownerMain() int {
	p, err := process.New(process.Options{Command: []string{"/proc/self/exe", roleParser}, Memory: 2 << 30})
	if err != nil {
		return 9
	}
	if _, err := p.Parse(context.Background(), "a.md", []byte("# a"), document.Limits{}); err != nil {
		return 9
	}
	_, _ = fmt.Fprintln(os.Stdout, p.Pids()[0])
	_, _ = p.Parse(context.Background(), "a.md", endless(), document.Limits{})
	return 0
}

// endless is a table of some hundred kilobytes whose cells are made one by one: it takes more time
// and memory than there is, and its parser does not look up from it.
func endless() []byte {
	const columns = 20_000
	return []byte("|" + strings.Repeat("a|", columns) + "\n|" + strings.Repeat("-|", columns) + "\n" + strings.Repeat("b\n", 60_000))
}

func parser(t *testing.T, role string, change ...func(*process.Options)) *process.Parser {
	t.Helper()
	o := process.Options{Command: []string{"/proc/self/exe", role}, Slots: 2, Memory: 512 << 20}
	for _, f := range change {
		f(&o)
	}
	p, err := process.New(o)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func docx(tb testing.TB, text string) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, part := range [][2]string{
		{"[Content_Types].xml", "<Types/>"},
		{"word/document.xml", `<w:document><w:body><w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Harbour</w:t></w:r></w:p><w:p><w:r><w:t>` + text + `</w:t></w:r></w:p></w:body></w:document>`},
	} {
		w, err := z.Create(part[0])
		require.NoError(tb, err)
		_, err = w.Write([]byte(part[1]))
		require.NoError(tb, err)
	}
	require.NoError(tb, z.Close())
	return b.Bytes()
}

func pdf(content string) []byte {
	var b bytes.Buffer
	var offsets []int
	b.WriteString("%PDF-1.4\n")
	for i, body := range []string{
		"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /Resources << /Font << /F1 5 0 R >> >> /Contents 4 0 R >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
	} {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, body)
	}
	at := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, at)
	return b.Bytes()
}

func codeOf(t *testing.T, err error) string {
	t.Helper()
	e, ok := errors.AsType[*document.Error](err)
	require.True(t, ok, "%v", err)
	require.NotEmpty(t, e.Message)
	return e.Code
}

// reads holds that a parser works.
func reads(t *testing.T, p *process.Parser) {
	t.Helper()
	d, err := p.Parse(t.Context(), "a.docx", docx(t, "Ships lie here."), document.Limits{})
	require.NoError(t, err)
	require.Equal(t, "Ships lie here.", d.Blocks[1].Text)
}

func gone(pid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(status), ") Z ")
}

// worked is how long a process has used the processor, in hundredths of seconds.
func worked(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	require.NoError(t, err)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	require.NoError(t, err)
	return user
}

func TestDocumentsAreTheSameAsInThisProcess(t *testing.T) {
	t.Parallel()
	p := parser(t, roleParser)
	for name, data := range map[string][]byte{
		"a.docx": docx(t, "Ships lie here."), "a.pdf": pdf("BT /F1 12 Tf 72 700 Td (Ships lie here.) Tj ET"),
		"a.md": []byte("# A\n\n## B\n\ntext\n\n- c\n"), "a.go": []byte("package a\n"), "b.txt": []byte(strings.Repeat("line\n\n", 100_000)),
	} {
		want, err := document.Parse(t.Context(), name, data, document.Limits{})
		require.NoError(t, err, name)
		got, err := p.Parse(t.Context(), name, data, document.Limits{})
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	require.Len(t, p.Pids(), 1, "one process read them, one after the other")
	for name, data := range map[string]string{"a.pdf": "%PDF-1.4\nnothing", "a.png": "\x00", "a.docx": "PK\x03\x04broken", "e.md": " \n"} {
		_, want := document.Parse(t.Context(), name, []byte(data), document.Limits{})
		_, got := p.Parse(t.Context(), name, []byte(data), document.Limits{})
		require.Equal(t, want, got, name)
	}
	_, err := p.Parse(t.Context(), "a.docx", docx(t, "x"), document.Limits{MaxBytes: 10})
	require.Equal(t, document.TooLarge, codeOf(t, err))
}

func TestParserThatDoesNotEndIsEnded(t *testing.T) {
	t.Parallel()
	p := parser(t, roleParser, func(o *process.Options) { o.Memory = 4 << 30 })
	reads(t, p)
	pid := p.Pids()[0]
	_, err := p.Parse(t.Context(), "a.md", endless(), document.Limits{Timeout: 700 * time.Millisecond})
	require.Equal(t, document.TooSlow, codeOf(t, err))
	require.True(t, gone(pid))
	reads(t, p)
}

func TestDocumentThatTakesAllMemoryEndsOnlyItsParser(t *testing.T) {
	t.Parallel()
	p := parser(t, roleWatched, func(o *process.Options) { o.Memory = 192 << 20 })
	_, err := p.Parse(t.Context(), "a.md", endless(), document.Limits{})
	require.Equal(t, document.TooLargeInMemory, codeOf(t, err), "%v", err)
	reads(t, p)
}

func TestKernelRefusesMemoryThatIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux counts what Go writes to")
	}
	p := parser(t, roleGlut)
	_, err := p.Parse(t.Context(), "a.md", []byte("# a"), document.Limits{})
	require.Equal(t, document.TooLargeInMemory, codeOf(t, err), "%v", err)
}

func TestDocumentThatOverflowsTheStackEndsOnlyItsParser(t *testing.T) {
	t.Parallel()
	p := parser(t, roleDeep)
	_, err := p.Parse(t.Context(), "a.md", []byte("# a"), document.Limits{})
	require.Equal(t, document.ParserDied, codeOf(t, err))
	require.ErrorContains(t, err, "too deep")
}

func TestParserThatWasEndedWhileItWaitedIsReplaced(t *testing.T) {
	t.Parallel()
	p := parser(t, roleParser)
	reads(t, p)
	pid := p.Pids()[0]
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Eventually(t, func() bool { _, err := os.Stat("/proc/" + strconv.Itoa(pid)); return err != nil }, 5*time.Second, time.Millisecond)
	reads(t, p)
	require.NotEqual(t, pid, p.Pids()[0])
}

func TestParserThatIsEndedFromOutsideIsTheFilesError(t *testing.T) {
	t.Parallel()
	p := parser(t, roleParser, func(o *process.Options) { o.Memory = 4 << 30 })
	reads(t, p)
	pid := p.Pids()[0]
	done := make(chan error, 1)
	go func() {
		_, err := p.Parse(context.Background(), "a.md", endless(), document.Limits{})
		done <- err
	}()
	require.Eventually(t, func() bool { return len(p.Pids()) == 0 }, 5*time.Second, time.Millisecond)
	idle := worked(t, pid)
	require.Eventually(t, func() bool { return worked(t, pid) > idle+20 }, 10*time.Second, time.Millisecond)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	err := <-done
	require.Equal(t, document.ParserDied, codeOf(t, err), "%v", err)
	require.ErrorContains(t, err, "killed")
	reads(t, p)
}

func TestCallerWhoGoesAwayEndsTheParser(t *testing.T) {
	t.Parallel()
	p := parser(t, roleParser)
	reads(t, p)
	pid := p.Pids()[0]
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("the run is over")
	done := make(chan error, 1)
	go func() {
		_, err := p.Parse(ctx, "a.md", endless(), document.Limits{})
		done <- err
	}()
	require.Eventually(t, func() bool { return len(p.Pids()) == 0 }, 5*time.Second, time.Millisecond)
	cancel(over)
	require.ErrorIs(t, <-done, over)
	require.True(t, gone(pid))
	_, err := p.Parse(ctx, "a.md", []byte("# a"), document.Limits{})
	require.ErrorIs(t, err, over)
	reads(t, p)
}

func TestParsersAreReplacedAfterSomeDocumentsAndEndedWhenNobodyAsks(t *testing.T) {
	t.Parallel()
	p := parser(t, roleParser, func(o *process.Options) { o.Documents = 2 })
	reads(t, p)
	pid := p.Pids()[0]
	reads(t, p)
	require.Empty(t, p.Pids())
	require.True(t, gone(pid))
	idle := parser(t, roleParser, func(o *process.Options) { o.Idle = 10 * time.Millisecond })
	reads(t, idle)
	require.Eventually(t, func() bool { return len(idle.Pids()) == 0 }, 10*time.Second, time.Millisecond)
	reads(t, idle)
}

func TestAnswersThatMakeNoSenseAreTheFilesError(t *testing.T) {
	t.Parallel()
	for role, want := range map[string]string{roleLiar: document.ParserDied, roleChatty: document.TooLarge, roleMute: document.ParserDied} {
		_, err := parser(t, role).Parse(t.Context(), "a.md", []byte("# a"), document.Limits{})
		require.Equal(t, want, codeOf(t, err), role)
	}
	_, err := parser(t, roleParser, func(o *process.Options) { o.Command = []string{"/does/not/exist"} }).
		Parse(t.Context(), "a.md", []byte("# a"), document.Limits{})
	require.Equal(t, document.ParserDied, codeOf(t, err))
}

func TestClosedParsersRefuse(t *testing.T) {
	t.Parallel()
	p := parser(t, roleParser)
	reads(t, p)
	pid := p.Pids()[0]
	p.Close()
	p.Close()
	require.True(t, gone(pid))
	_, err := p.Parse(t.Context(), "a.md", []byte("# a"), document.Limits{})
	require.Equal(t, document.ParserDied, codeOf(t, err))
	_, err = process.New(process.Options{})
	require.Error(t, err)
}

func TestParsersEndWithTheirOwner(t *testing.T) {
	t.Parallel()
	owner := exec.Command("/proc/self/exe", roleOwner)
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	defer func() { _ = owner.Process.Kill() }()
	var pid int
	_, err = fmt.Fscan(out, &pid)
	require.NoError(t, err)
	require.False(t, gone(pid))
	require.NoError(t, owner.Process.Kill())
	_, _ = owner.Process.Wait()
	require.Eventually(t, func() bool { return gone(pid) }, 5*time.Second, time.Millisecond)
}

func TestManyFilesShareTheSlots(t *testing.T) {
	t.Parallel()
	p := parser(t, roleParser)
	errs := make(chan error, 40)
	for i := range cap(errs) {
		text := fmt.Sprint("Ship ", i)
		data := docx(t, text)
		go func() {
			d, err := p.Parse(context.Background(), "a.docx", data, document.Limits{})
			if err == nil && d.Blocks[1].Text != text {
				err = fmt.Errorf("%q instead of %q", d.Blocks[1].Text, text)
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.LessOrEqual(t, len(p.Pids()), 2)
}

// FuzzDecode holds that no answer takes the process down, and that what can be read is
// what is written.
func FuzzDecode(f *testing.F) {
	d := document.Document{Kind: "pdf", Title: "t", Pages: 2, Truncated: true, Blocks: []document.Block{
		{Text: "a", Page: 1, Kind: "prose", Heading: []string{"x", "y"}}, {Text: "b", LineStart: 1, LineEnd: 300, Kind: "prose", Heading: []string{"x"}},
	}}
	f.Add(process.Encode(&d))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := process.Decode(data)
		if err != nil {
			return
		}
		again, err := process.Decode(process.Encode(&d))
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}

// FuzzParser holds that no document harms more than its parser.
func FuzzParser(f *testing.F) {
	f.Add(uint8(0), pdf("BT /F1 12 Tf 72 700 Td (Ships lie here.) Tj ET"))
	f.Add(uint8(1), docx(f, "Ships lie here."))
	f.Add(uint8(2), []byte("# A\n\n|a|b|\n|-|-|\n|c|d|\n\n- e\n  - f\n"))
	p, err := process.New(process.Options{Command: []string{"/proc/self/exe", roleParser}, Memory: 256 << 20, Documents: 1 << 20})
	require.NoError(f, err)
	f.Cleanup(p.Close)
	f.Fuzz(func(t *testing.T, n uint8, data []byte) {
		name := []string{"a.pdf", "a.docx", "a.md", "a.pptx", "a.xlsx"}[n%5]
		if _, err := p.Parse(t.Context(), name, data, document.Limits{MaxTextBytes: 1 << 16, MaxPages: 50, Timeout: time.Second}); err != nil {
			require.NotEqual(t, document.ParserDied, codeOf(t, err), "%v", err)
		}
	})
}

// BenchmarkSmallDocuments reads small documents here and in parsers.
func BenchmarkSmallDocuments(b *testing.B) {
	p, err := process.New(process.Options{Command: []string{"/proc/self/exe", roleParser}})
	require.NoError(b, err)
	defer p.Close()
	files := map[string][]byte{
		"docx": docx(b, strings.Repeat("Ships lie here. ", 500)), "pdf": pdf("BT /F1 12 Tf 72 700 Td " + strings.Repeat("(Ships lie here.) Tj 0 -14 Td ", 300) + " ET"),
		"md": []byte(strings.Repeat("# Harbour\n\nShips lie here.\n\n", 100)),
	}
	for _, ext := range []string{"pdf", "docx", "md"} {
		for name, p := range map[string]document.Parser{"here": document.InProcess{}, "process": p} {
			b.Run(ext+"/"+name, func(b *testing.B) {
				for b.Loop() {
					if _, err := p.Parse(b.Context(), "a."+ext, files[ext], document.Limits{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
