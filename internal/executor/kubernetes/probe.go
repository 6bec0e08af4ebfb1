package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"time"

	authv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "k8s.io/client-go/kubernetes"
)

// Check is one thing that a test of the settings looked at.
type Check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

// Probe is what a test of the settings found.
type Probe struct {
	OK        bool     `json:"ok"`
	Version   string   `json:"version"`
	Server    string   `json:"server"`
	Namespace string   `json:"namespace"`
	Images    []string `json:"images"`
	Checks    []Check  `json:"checks"`
	Missing   []string `json:"missing_permissions"`
}

// permission is what the dispatcher needs in the namespace.
type permission struct{ group, resource, sub, verb string }

func (p permission) String() string {
	what := p.resource
	if p.sub != "" {
		what += "/" + p.sub
	}
	return p.verb + " " + what
}

// Permissions lists what the service account needs, as "<verb> <resource>".
func Permissions() []string {
	var out []string
	for _, p := range permissions() {
		out = append(out, p.String())
	}
	return out
}

func permissions() []permission {
	var out []permission
	add := func(group, resource, sub string, verbs ...string) {
		for _, v := range verbs {
			out = append(out, permission{group, resource, sub, v})
		}
	}
	add("batch", "jobs", "", "create", "get", "list", "watch", "delete")
	add("", "pods", "", "list", "watch", "delete")
	add("", "pods", "log", "get")
	add("", "secrets", "", "create", "get", "delete")
	return out
}

const probeTimeout = 20 * time.Second

// Test asks a cluster whether Jobs can be run there with these settings. What it finds
// wrong is its answer; nothing is created.
func Test(ctx context.Context, s Settings) Probe {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	out := Probe{Namespace: s.Namespace, Images: []string{s.FrontierImage, s.VLLMImage}, Checks: []Check{}, Missing: []string{}}
	cfg, err := s.restConfig()
	if err != nil {
		return out.with("connection", explain(err))
	}
	out.Server = cfg.Host
	client, err := newClient(s.Connection, nil)
	if err != nil {
		return out.with("connection", explain(err))
	}
	return probe(ctx, client, &s, out)
}

// with adds a check; no message means that all is well.
func (p Probe) with(name, fault string) Probe {
	c := Check{Name: name, OK: fault == "", Message: fault}
	p.Checks = append(slices.Clone(p.Checks), c)
	p.OK = !slices.ContainsFunc(p.Checks, func(c Check) bool { return !c.OK })
	return p
}

func probe(ctx context.Context, client kube.Interface, s *Settings, out Probe) Probe {
	v, err := client.Discovery().ServerVersion()
	if err != nil {
		return out.with("connection", "The cluster does not answer: "+foreign(err.Error())+".")
	}
	out.Version = v.GitVersion
	out = out.with("connection", "")
	missing, err := missingPermissions(ctx, client, s.Namespace)
	switch {
	case err != nil:
		out = out.with("permissions", "The permissions cannot be asked for: "+foreign(err.Error())+".")
	case len(missing) > 0:
		out.Missing = missing
		out = out.with("permissions", fmt.Sprintf("In the namespace %s these are missing: %v.", s.Namespace, missing))
	default:
		out = out.with("permissions", "")
	}
	for _, class := range []string{ClassFrontier, ClassVLLM} {
		out = out.with("job_"+class, dryRun(ctx, client, s, class))
	}
	return out
}

func missingPermissions(ctx context.Context, client kube.Interface, namespace string) ([]string, error) {
	var missing []string
	for _, p := range permissions() {
		review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authv1.SelfSubjectAccessReview{
			Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authv1.ResourceAttributes{
				Namespace: namespace, Group: p.group, Resource: p.resource, Subresource: p.sub, Verb: p.verb,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
		if !review.Status.Allowed {
			missing = append(missing, p.String())
		}
	}
	return missing, nil
}

// dryRun has the cluster check a Job of a class without making it: that the namespace
// is there, that quotas and admission let it pass.
func dryRun(ctx context.Context, client kube.Interface, s *Settings, class string) string {
	o := &order{settings: s, ref: Ref{NodeRunID: 1, Attempt: 1}, kind: "test", class: class, token: "test", timeout: s.Timeout}
	job := o.job()
	job.Name, job.GenerateName = "", "llmctl-exec-test-"
	_, err := client.BatchV1().Jobs(s.Namespace).Create(ctx, job, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return ""
	}
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("The namespace %s does not exist.", s.Namespace)
	}
	return refusal(err).Error.Message
}
