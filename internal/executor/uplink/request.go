package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/executor"
)

// maxAnswer bounds what is read of an answer that is no payload.
const maxAnswer = 64 << 10

// refusal is a final answer that finds fault with what was sent, not with who sent it.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the Studio refused what was sent (%d): %s", r.status, r.text)
}

// errAway is everything that another try may mend.
var errAway = errors.New("the Studio does not answer")

type problem struct {
	Detail string `json:"detail"`
	Reason string `json:"reason"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

func (p problem) text() string {
	var b strings.Builder
	b.WriteString(p.Detail)
	for i, e := range p.Errors {
		if i == 3 {
			break
		}
		b.WriteString(" " + e.Location + ": " + e.Message + ".")
	}
	return b.String()
}

// verdict reads an answer that is not a success. An answer that is not the Studio's
// own (a proxy's, or that of a release which does not know the address) is no verdict.
func verdict(status int, body []byte) error {
	var p problem
	_ = json.Unmarshal(body, &p) // what is not ours has no reason
	ours := strings.HasPrefix(p.Reason, "executor.") || strings.HasPrefix(p.Reason, "request.") || strings.HasPrefix(p.Reason, "blob.")
	switch status {
	case http.StatusUnauthorized, http.StatusConflict:
		if ours {
			return fmt.Errorf("%w: %s", executor.ErrRefused, p.text())
		}
	case http.StatusGone:
		return fmt.Errorf("%w: %s", executor.ErrRefused, p.text())
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		if ours {
			return &refusal{status, p.text()}
		}
	}
	return fmt.Errorf("%w: status %d", errAway, status)
}

type request struct {
	method, path, mediaType string
	body                    []byte
	limit                   int64 // of the answer
	timeout                 time.Duration
}

// once sends a request and reads the answer of a success.
func (u *Uplink) once(ctx context.Context, r request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, u.o.URL+"/executor/v1"+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, &refusal{0, err.Error()}
	}
	req.Header.Set("Authorization", "Bearer "+u.o.Token)
	req.Header.Set("X-Executor-Pod", u.o.PodUID)
	if r.mediaType != "" {
		req.Header.Set("Content-Type", r.mediaType)
	}
	res, err := u.o.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	defer func() { _ = res.Body.Close() }()
	limit := int64(maxAnswer)
	good := res.StatusCode >= 200 && res.StatusCode < 300
	if good && r.limit > 0 {
		limit = r.limit
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errAway, err)
	case !good:
		return nil, verdict(res.StatusCode, body)
	case int64(len(body)) > limit:
		return nil, &refusal{res.StatusCode, fmt.Sprintf("the answer has more than %d bytes", limit)}
	}
	return body, nil
}

// send is once until there is a verdict or ctx ends.
func (u *Uplink) send(ctx context.Context, r request) ([]byte, error) {
	for pause := u.o.FirstPause; ; pause = min(2*pause, u.o.LastPause) {
		body, err := u.once(ctx, r)
		if !errors.Is(err, errAway) {
			return body, err
		}
		u.away(err)
		timer := time.NewTimer(jitter(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-timer.C:
		}
	}
}

// jitter spreads the pods that lost the same API.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d) //nolint:gosec // spreads requests, guards nothing
}
