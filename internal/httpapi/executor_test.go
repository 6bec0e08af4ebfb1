package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/llmctl/studio/internal/auth"
)

func TestTheExecutorsAddressesAreForExecutorsOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pod := header{"X-Executor-Pod", "pod"}
	for _, path := range []string{"/api/executor/v1/payload", "/api/executor/v1/files/1"} {
		b.do(t, http.MethodGet, path, nil, pod).problem(t, http.StatusUnauthorized, "unauthenticated", "auth.required")
		b.do(t, http.MethodGet, path, nil, pod, b.as(auth.Admin)).problem(t, http.StatusUnauthorized, "unauthenticated", "executor.unknown_token")
	}
	for _, token := range []string{"Basic eDp5", "Bearer ", "Bearer " + strings.Repeat("a", 64)} {
		res := b.do(t, http.MethodPost, "/api/executor/v1/events", "{", pod, header{"Authorization", token})
		if strings.HasSuffix(token, "a") {
			res.problem(t, http.StatusUnauthorized, "unauthenticated", "executor.unknown_token")
			continue
		}
		res.problem(t, http.StatusUnauthorized, "unauthenticated", "auth.required")
	}
}
