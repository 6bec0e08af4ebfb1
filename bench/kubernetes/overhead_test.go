package kubernetes

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/kubernetes"
	"github.com/llmctl/studio/internal/testkit/kubetest"
	"github.com/llmctl/studio/internal/testkit/podtest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }

const (
	image  = "localhost/llmctl-testpod:1"
	rounds = 10
)

// BenchmarkNodeBesideKubectl runs one node after the other, and in turns with it a Job of
// the same image by kubectl create and kubectl wait.
func BenchmarkNodeBesideKubectl(b *testing.B) {
	c := kubetest.Rig(b, "pods run there")
	root, err := filepath.Abs("../..")
	require.NoError(b, err)
	c.Image(b, image, kubetest.Build(b, root, "./test/kubernetes/testpod", "testpod"))
	attempts := podtest.New(nil)
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", net.JoinHostPort(c.HostAddress(b), "0"))
	require.NoError(b, err)
	server := &http.Server{Handler: attempts, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close() })
	kubeconfig, err := os.ReadFile(c.Kubeconfig)
	require.NoError(b, err)
	namespace, figures, worker := c.Namespace(b), kubernetes.NewFigures(), uuid.New()
	e := kubernetes.New(kubernetes.Options{
		Attempts: attempts, Worker: worker, Figures: figures,
		Settings: func(context.Context) (kubernetes.Settings, error) {
			return kubernetes.Settings{
				Connection: kubernetes.Connection{Kubeconfig: kubeconfig, Namespace: namespace}, Identity: namespace, FrontierImage: image, VLLMImage: image,
				JobTTL: time.Hour, DispatchTimeout: time.Minute, Timeout: time.Minute, LogTimeout: 10 * time.Second, CancelGrace: 5 * time.Second, APIURL: "http://" + l.Addr().String(),
			}, nil
		},
	})
	attempts.Hint(e.Hint)
	b.Cleanup(func() { e.Close(context.Background()) })
	for b.Loop() {
		var ours, theirs []time.Duration
		for i := range rounds {
			began := time.Now()
			attempts.Claim(int64(i+1), 1, worker)
			res := e.Execute(b.Context(), executor.Payload{ContractVersion: "v1", NodeRunID: int64(i + 1), Attempt: 1, Kind: "task", Config: []byte(`{}`)}, nil)
			require.True(b, res.Settled, "%v", res.Error)
			ours = append(ours, time.Since(began))
			began = time.Now()
			name := fmt.Sprintf("by-hand-%d", i)
			c.Kubectl(b, "", "create", "job", "--namespace="+namespace, "--image="+image, name)
			c.Kubectl(b, "", "wait", "--namespace="+namespace, "--for=condition=complete", "--timeout=60s", "job/"+name)
			theirs = append(theirs, time.Since(began))
		}
		b.ReportMetric(median(ours).Seconds(), "s/node")
		b.ReportMetric(median(theirs).Seconds(), "s/kubectl")
		b.ReportMetric(float64(median(ours))/float64(median(theirs)), "ratio")
		b.Logf("ours %v", ours)
		b.Logf("kubectl %v", theirs)
		requests := uint64(0)
		for _, n := range figures.Requests() {
			requests += n
		}
		b.ReportMetric(float64(requests)/rounds, "requests/node")
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
