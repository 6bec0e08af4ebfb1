package kubernetes

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/llmctl/studio/internal/errs"
)

// MaxKubeconfig is what a kubeconfig may have in bytes.
const MaxKubeconfig = 256 << 10

// Kubeconfig is what people may know of one.
type Kubeconfig struct {
	Contexts []string
	Current  string
}

// CheckKubeconfig reads a kubeconfig and says why it cannot be used. It must carry
// everything in itself: what refers to files would read those of the Studio's
// machines, and what names programs would run them there.
func CheckKubeconfig(text []byte) (Kubeconfig, error) {
	if len(text) > MaxKubeconfig {
		return Kubeconfig{}, refused(fmt.Sprintf("has %d bytes; at most %d are accepted", len(text), MaxKubeconfig))
	}
	c, err := clientcmd.Load(text)
	if err != nil {
		return Kubeconfig{}, refused("is no kubeconfig: " + firstLine(err.Error()))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Clusters)) {
		if why := clusterFault(c.Clusters[name]); why != "" {
			return Kubeconfig{}, refused(fmt.Sprintf("has the cluster %q, %s", name, why))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.AuthInfos)) {
		if why := userFault(c.AuthInfos[name]); why != "" {
			return Kubeconfig{}, refused(fmt.Sprintf("has the user %q, %s", name, why))
		}
	}
	out := Kubeconfig{Contexts: slices.Sorted(maps.Keys(c.Contexts)), Current: c.CurrentContext}
	if len(out.Contexts) == 0 {
		return out, refused("has no contexts")
	}
	return out, nil
}

// Chosen checks that context, or the current one when it is empty, is there.
func (k Kubeconfig) Chosen(context string) error {
	name := cmp.Or(context, k.Current)
	if name == "" || !slices.Contains(k.Contexts, name) {
		return errs.E(errs.Invalid, "setting.invalid", "The settings cannot be used.", errs.Detail{
			Location: "body.k8s_context", Message: fmt.Sprintf("is %q; the kubeconfig has %s", name, strings.Join(k.Contexts, ", ")),
		})
	}
	return nil
}

func refused(why string) error {
	return errs.E(errs.Invalid, "setting.invalid", "The settings cannot be used.", errs.Detail{Location: "body.k8s_kubeconfig", Message: why})
}

const flatten = "; write the contents into it (kubectl config view --raw --flatten)"

func clusterFault(c *api.Cluster) string {
	u, err := url.Parse(c.Server)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "whose server is no http or https address"
	case c.CertificateAuthority != "":
		return "whose certificate-authority is a file" + flatten
	}
	return ""
}

func userFault(a *api.AuthInfo) string {
	switch {
	case a.ClientCertificate != "" || a.ClientKey != "" || a.TokenFile != "":
		return "whose certificate, key or token is a file" + flatten
	case a.Exec != nil:
		return "who signs in by a program; programs are not run. Use the token of a service account"
	case a.AuthProvider != nil:
		return "who signs in by an auth-provider, which is not supported. Use the token of a service account"
	}
	return ""
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// restConfig is how client-go is told of a connection.
func (c Connection) restConfig() (*rest.Config, error) {
	if c.InCluster {
		cfg, err := rest.InClusterConfig()
		if err != nil {
			return nil, errs.E(errs.Invalid, "kubernetes.not_in_cluster",
				"The settings say that the Studio runs in the cluster, but this process has no service account of a pod.").With(err)
		}
		return cfg, nil
	}
	if len(c.Kubeconfig) == 0 {
		return nil, errs.E(errs.Invalid, "kubernetes.no_kubeconfig",
			"There is no way to the cluster: neither is k8s_in_cluster set, nor is there a kubeconfig. Set one of them in the settings of the node executor.")
	}
	if _, err := CheckKubeconfig(c.Kubeconfig); err != nil {
		return nil, err
	}
	loaded, err := clientcmd.Load(c.Kubeconfig)
	if err != nil {
		return nil, refused("is no kubeconfig: " + firstLine(err.Error()))
	}
	cfg, err := clientcmd.NewNonInteractiveClientConfig(*loaded, c.Context, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, refused("cannot be used: " + firstLine(err.Error()))
	}
	return cfg, nil
}
