package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Connection says which cluster, and where in it.
type Connection struct {
	InCluster  bool   // the service account of this pod; else Kubeconfig
	Kubeconfig []byte // as CheckKubeconfig accepts it
	Context    string // of the kubeconfig; "": its current one
	Namespace  string
}

// key tells connections apart without showing what they hold.
func (c Connection) key() string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%t\x00%s\x00%s\x00", c.InCluster, c.Context, c.Namespace)
	_, _ = h.Write(c.Kubeconfig)
	return hex.EncodeToString(h.Sum(nil))
}

// Settings say how Jobs are made and how long they may take.
type Settings struct {
	Connection
	Identity        string // tells the Jobs of installations that share a namespace apart
	FrontierImage   string // with tag
	VLLMImage       string
	ServiceAccount  string   // "": the namespace's default, without a token either way
	PullSecrets     []string // names
	Requests        Resources
	Limits          Resources
	GPULimit        int
	JobTTL          time.Duration
	DispatchTimeout time.Duration
	Timeout         time.Duration // of attempts that do not say themselves
	LogTimeout      time.Duration // for the last lines of a pod's log
	CancelGrace     time.Duration
	CancelForce     bool
	APIURL          string   // where pods reach the API, with its prefix
	ArgoCDApp       string   // "": Jobs are not Argo CD's business
	LiveCodePath    string   // folder of the machine that is mounted into Jobs; "": none
	ScriptNodes     bool     // whether script nodes may run
	HTTPAllow       []string // private hosts and networks that http nodes may reach
}

// Resources are amounts in Kubernetes' notation; "" leaves one out.
type Resources struct {
	CPU    string `json:"cpu,omitempty"`
	Memory string `json:"memory,omitempty"`
}

// CheckQuantity says why text is no amount between low and high; "" if it is one.
func CheckQuantity(text, low, high string) string {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return "is " + strconv.Quote(text) + "; accepted are amounts from " + low + " to " + high
	}
	if q.Cmp(resource.MustParse(low)) < 0 || q.Cmp(resource.MustParse(high)) > 0 {
		return "is " + text + "; accepted are " + low + " to " + high
	}
	return ""
}
