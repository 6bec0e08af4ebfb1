package chunk_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/llmctl/studio/internal/document"
	"github.com/llmctl/studio/internal/rag/chunk"
)

// corpus gives files of the module cache, up to some megabytes of them.
func corpus(b *testing.B, ext string) (paths []string, contents [][]byte, size int64) {
	b.Helper()
	for _, path := range realFiles(b, ext, 2000) {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		if size += int64(len(data)); size > 20<<20 {
			break
		}
		paths, contents = append(paths, filepath.Base(path)), append(contents, data)
	}
	return paths, contents, size
}

func cpuSeconds(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// BenchmarkFiles parses and cuts real files, on one core.
func BenchmarkFiles(b *testing.B) {
	for _, ext := range []string{"go", "md", "js", "c", "py", "json", "yaml", "sql", "html", "txt"} {
		b.Run(ext, func(b *testing.B) {
			paths, contents, size := corpus(b, ext)
			b.SetBytes(size)
			b.ReportAllocs()
			chunks := 0
			begin := cpuSeconds(b)
			for b.Loop() {
				chunks = 0
				for i := range paths {
					d, err := document.Parse(b.Context(), paths[i], contents[i], document.Limits{})
					if err == nil {
						chunks += len(chunk.Split(paths[i], d, chunk.Options{}))
					}
				}
			}
			b.ReportMetric(float64(size)/1e6*float64(b.N)/(cpuSeconds(b)-begin), "MB/CPU-s") // on a machine that others use as well
			b.ReportMetric(float64(len(paths)), "files")
			b.ReportMetric(float64(chunks), "chunks")
		})
	}
}
