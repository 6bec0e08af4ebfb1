package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

// polling rolls out three replicas that take long polling only, and asks each of them for
// one session in turn: what a balancer without stickiness does at its worst.
func (s *studio) polling(r release) {
	r.replicas = map[string]int{"llmctl-studio-backend": 3, "llmctl-celery-worker": 1}
	config := map[string]string{"LLMCTL_STUDIO_SOCKETIO_TRANSPORTS": "polling"}
	maps.Copy(config, r.config)
	r.config = config
	s.apply(r)
	// A changed config map is read at the next start.
	s.cluster.Kubectl(s.t, "", "--namespace="+namespace, "rollout", "restart", "deployment/llmctl-studio-backend")
	s.deployed()
	replicas := s.replicas()
	require.Len(s.t, replicas, 3)
	sid := s.open(replicas[0])
	s.send(replicas[1], sid, "40/rt,")
	// The answer to the connect waits at the session, whoever is asked for it.
	require.Contains(s.t, s.poll(replicas[2], sid), "40/rt,")
	for n := range 6 {
		s.send(replicas[n%3], sid, fmt.Sprintf(`42/rt,%d["rt.health",{}]`, n))
		require.Contains(s.t, s.poll(replicas[(n+1)%3], sid), fmt.Sprintf("43/rt,%d[", n))
	}
}

// replicas are the addresses of the backend's pods.
func (s *studio) replicas() (out []string) {
	s.t.Helper()
	kubetest.Eventually(s.t, patience, "three replicas", func(ctx context.Context) error {
		out = nil
		list, err := s.cluster.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=llmctl-studio-backend"})
		if err != nil {
			return err
		}
		for i := range list.Items {
			if list.Items[i].DeletionTimestamp == nil {
				out = append(out, "http://"+list.Items[i].Status.PodIP+":5155")
			}
		}
		if len(out) != 3 {
			return errors.New("others are going")
		}
		return nil
	})
	return out
}

func (s *studio) exchange(method, url, body string) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	require.NoError(s.t, err)
	for _, cookie := range s.client.Jar.Cookies(mustURL(s.t, s.address)) {
		request.AddCookie(cookie)
	}
	answer, err := s.client.Do(request)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, answer.StatusCode, "%s %s: %s", method, url, raw)
	return string(raw)
}

const engine = "/api/socket.io/?EIO=4&transport=polling"

func (s *studio) open(replica string) string {
	s.t.Helper()
	var greeting struct {
		SID      string   `json:"sid"`
		Upgrades []string `json:"upgrades"`
	}
	require.NoError(s.t, json.Unmarshal([]byte(s.exchange(http.MethodGet, replica+engine, "")[1:]), &greeting))
	require.Empty(s.t, greeting.Upgrades, "polling only")
	return greeting.SID
}

func (s *studio) send(replica, sid, packet string) {
	s.t.Helper()
	require.Equal(s.t, "ok", s.exchange(http.MethodPost, replica+engine+"&sid="+sid, packet))
}

func (s *studio) poll(replica, sid string) string {
	s.t.Helper()
	return s.exchange(http.MethodGet, replica+engine+"&sid="+sid, "")
}
