package uplink

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/llmctl/studio/internal/executor"
)

// inlineArtifacts is how many bytes of files may ride along in the result.
const inlineArtifacts = 64 << 10

// upload sends the files ahead, so that the result only refers to them.
func (u *Uplink) upload(ctx context.Context, r executor.Result) (executor.Result, error) {
	total := 0
	for _, a := range r.Artifacts {
		total += len(a.Data)
	}
	if total <= inlineArtifacts {
		return r, nil
	}
	sent := make([]executor.Artifact, len(r.Artifacts))
	for i, a := range r.Artifacts {
		_, err := u.send(ctx, request{
			method: http.MethodPut, path: "/artifacts/" + url.PathEscape(a.Name), mediaType: mediaType(a), body: a.Data, timeout: 2 * time.Minute,
		})
		if fault, ok := errors.AsType[*refusal](err); ok {
			fail := executor.Failure(executor.CodeArtifacts, fault.text, false)
			fail.OutputState, fail.Usage = r.OutputState, r.Usage
			return fail, nil
		}
		if err != nil {
			return r, err
		}
		sum := sha256.Sum256(a.Data)
		sent[i] = executor.Artifact{Name: a.Name, Kind: a.Kind, MediaType: a.MediaType, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(a.Data))}
	}
	r.Artifacts = sent
	return r, nil
}

func mediaType(a executor.Artifact) string {
	if a.MediaType == "" {
		return "application/octet-stream"
	}
	return a.MediaType
}
