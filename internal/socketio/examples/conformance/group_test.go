package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startGroup serves on free ports and gives the addresses, and what ends each.
func startGroup(t *testing.T, size int) (addresses []string, ends []func()) {
	t.Helper()
	listeners := make([]net.Listener, size)
	for i := range listeners {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		listeners[i] = l
		addresses = append(addresses, l.Addr().String())
	}
	for i, l := range listeners {
		g, err := newGroup(addresses[i], addresses)
		require.NoError(t, err)
		handler, shutdown, err := newHandler(g)
		require.NoError(t, err)
		web := &http.Server{Handler: handler}
		served := make(chan error, 1)
		go func() { served <- web.Serve(l) }()
		ended := false
		end := func() {
			if ended {
				return
			}
			ended = true
			require.NoError(t, web.Close())
			require.ErrorIs(t, <-served, http.ErrServerClosed)
			require.NoError(t, shutdown())
		}
		ends = append(ends, end)
		t.Cleanup(end)
	}
	return addresses, ends
}

func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(text)
}

func TestAnyServerOfTheGroupServesASession(t *testing.T) {
	t.Parallel()
	at, ends := startGroup(t, 3)
	_, opened := ask(t, "GET", "http://"+at[0]+"/engine.io/?EIO=4&transport=polling", "")
	_, rest, ok := strings.Cut(opened, `"sid":"`)
	require.True(t, ok, opened)
	sid, _, _ := strings.Cut(rest, `"`)
	query := "/engine.io/?EIO=4&transport=polling&sid=" + sid

	status, body := ask(t, "POST", "http://"+at[1]+query, "4hello")
	require.Equal(t, 200, status, body)
	status, body = ask(t, "GET", "http://"+at[2]+query, "")
	require.Equal(t, 200, status)
	require.Equal(t, "4hello", body)

	ends[0]()
	began := time.Now()
	status, body = ask(t, "GET", "http://"+at[1]+query, "")
	require.Equal(t, 400, status)
	require.JSONEq(t, `{"code":1,"message":"Session ID unknown"}`, body)
	require.Less(t, time.Since(began), dialTimeout, "a dead owner is noticed at once")
}

func TestBadAddressesAreExplained(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, run(t.Context(), []string{"--listen", "nowhere"}, io.Discard), `--listen: want HOST:PORT, got "nowhere"`)
	require.ErrorContains(t, run(t.Context(), []string{"--listen", "127.0.0.1:0", "--peers", "127.0.0.1:1,x"}, io.Discard), `--peers: want HOST:PORT, got "x"`)
}
