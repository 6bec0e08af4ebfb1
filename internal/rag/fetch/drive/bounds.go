package drive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// Limits of answers.
const (
	maxAnswer    = 16 << 20 // bytes of one of the API; a page of files has some megabytes at most
	maxComplaint = 1 << 20  // bytes of one that says no, to whatever it was asked
	stallTime    = time.Minute
	fileTime     = 30 * time.Minute
)

// bounds are limits that tests make smaller.
type bounds struct {
	entries, pages int
	answer         int64
}

// bounded is a transport whose answers end with an error when they are longer than they
// may be, before anybody keeps them. Files have limits of their own.
type bounded struct {
	http.RoundTripper
	*bounds
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case res.StatusCode >= http.StatusMultipleChoices:
		res.Body = &shortBody{res.Body, maxComplaint}
	case req.URL.Query().Get("alt") != "media":
		res.Body = &shortBody{res.Body, b.answer}
	}
	return res, nil
}

// shortBody is a body of at most left bytes.
type shortBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (s *shortBody) Read(p []byte) (int, error) {
	if int64(len(p)) > s.left+1 { // one byte more shows that there are more
		p = p[:s.left+1]
	}
	n, err := s.ReadCloser.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, errs.E(errs.TooLarge, "rag.drive_answer", "The server's answer is longer than any of Drive is. Check the source's endpoint.")
	}
	return n, err
}

var errStalled = errors.New("nothing came for too long")

// patience bounds how long a file may take: between two pieces of it, and as a whole.
type patience struct {
	ctx    context.Context //nolint:containedctx // of one file, which is read after the call
	cancel context.CancelCauseFunc
	stall  *time.Timer
	whole  *time.Timer
	path   string
}

func newPatience(ctx context.Context, path string) *patience {
	p := &patience{path: path}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	over := func() { p.cancel(errStalled) }
	p.stall, p.whole = time.AfterFunc(stallTime, over), time.AfterFunc(fileTime, over)
	return p
}

func (p *patience) end() {
	p.stall.Stop()
	p.whole.Stop()
	p.cancel(nil)
}

// explain says that the time was over, if that is why.
func (p *patience) explain(err error) error {
	if errors.Is(context.Cause(p.ctx), errStalled) {
		return errs.Ef(errs.Timeout, "rag.drive_slow", "Drive sends %s too slowly: nothing for %s, or not all of it in %s.", p.path, stallTime, fileTime).With(err)
	}
	return err
}

// body is a file that is read with patience.
func (p *patience) body(r io.ReadCloser) io.ReadCloser { return &patientBody{r, p} }

type patientBody struct {
	io.ReadCloser
	p *patience
}

// Read implements io.Reader.
func (b *patientBody) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	if n > 0 {
		b.p.stall.Reset(stallTime)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.p.explain(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *patientBody) Close() error {
	b.p.end()
	return b.ReadCloser.Close()
}
