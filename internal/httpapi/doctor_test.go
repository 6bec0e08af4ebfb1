package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDoctorSeesHowARequestArrived(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer := b.admin(t, http.StatusOK, http.MethodGet, "/api/doctor/request", nil)
	for _, part := range []string{`"scheme":"http"`, `"api_prefix":"/api"`, `"web_prefix":"/web"`, `"proxy_fix":false`, `"max_body":8388608`} {
		require.Contains(t, answer.raw, part)
	}
}

func TestDoctorStreamHasTwoLines(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer := b.admin(t, http.StatusOK, http.MethodGet, "/api/doctor/stream", nil)
	require.Equal(t, 2, strings.Count(answer.raw, "data: "))
	b.admin(t, http.StatusUnprocessableEntity, http.MethodGet, "/api/doctor/stream?wait=131", nil)
}
