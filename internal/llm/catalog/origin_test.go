package catalog

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOriginsAreComparedInOneForm(t *testing.T) {
	t.Parallel()
	same := [][2]string{
		{"https://Host.example/v1", "HTTPS://host.example:443/v2?x=1"},
		{"http://h", "http://h:80/"},
		{"http://[::1]:80", "http://[::1]"},
		{"https://h./v1", "https://h/v1"},
		{"", ""},
		{"https://user:word@h/v1", "https://h/v1"},
	}
	for _, p := range same {
		require.Equal(t, origin(p[0]), origin(p[1]), "%v", p)
	}
	other := [][2]string{
		{"https://h/v1", "http://h/v1"},
		{"https://h/v1", "https://h:8443/v1"},
		{"https://h/v1", "https://h.evil/v1"},
		{"https://h/v1", "https://h@evil/v1"},
		{"", "https://api.openai.com/v1"},
		{"https://api.openai.com/v1", ""},
		{"http://h:443", "https://h"},
		{"https://evil\\\\@h/", "https://h/"},
	}
	for _, p := range other {
		require.NotEqual(t, origin(p[0]), origin(p[1]), "%v", p)
	}
}
