package socketio

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestForeignSessionsAreOfferedToTheirOwner(t *testing.T) {
	t.Parallel()
	var offered []string
	s, err := New(Options{SessionPrefix: "w1.", Forward: func(w http.ResponseWriter, _ *http.Request, sid string) bool {
		offered = append(offered, sid)
		if !strings.HasPrefix(sid, "w2.") {
			return false
		}
		_, _ = io.WriteString(w, "from the owner")
		return true
	}})
	require.NoError(t, err)
	ask := func(query string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/socket.io/?EIO=4&transport=polling"+query, nil)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}

	_, opened := ask("")
	require.Contains(t, opened, `"sid":"w1.`, "the prefix tells whose a session is")
	status, body := ask("&sid=w2.ABC")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "from the owner", body)
	status, body = ask("&sid=w3.ABC")
	require.Equal(t, http.StatusBadRequest, status)
	require.JSONEq(t, `{"code":1,"message":"Session ID unknown"}`, body, "the client makes a new session")
	require.Equal(t, []string{"w2.ABC", "w3.ABC"}, offered, "a handshake is nobody else's")
	require.NoError(t, s.Shutdown(t.Context()))

	_, err = New(Options{SessionPrefix: "a b"})
	require.Error(t, err)
}
