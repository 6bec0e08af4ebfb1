package rollout

import (
	"testing"

	"github.com/stretchr/testify/require"
	authv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// right is one thing that an account may or may not do.
type right struct {
	group, resource, sub, verb, namespace string
}

// dispatching is all that the dispatcher needs, and so all that it gets.
func dispatching() []right {
	var out []right
	add := func(group, resource, sub string, verbs ...string) {
		for _, verb := range verbs {
			out = append(out, right{group, resource, sub, verb, namespace})
		}
	}
	add("batch", "jobs", "", "create", "get", "list", "watch", "delete")
	add("", "pods", "", "get", "list", "watch", "delete")
	add("", "pods", "log", "get")
	add("", "secrets", "", "create", "get", "delete")
	add("", "events", "", "get", "list")
	return out
}

// forbidden is what would be too much for anybody.
func forbidden() []right {
	return []right{
		{"", "secrets", "", "list", namespace},
		{"", "pods", "", "create", namespace},
		{"", "pods", "exec", "create", namespace},
		{"", "configmaps", "", "get", namespace},
		{"batch", "jobs", "", "update", namespace},
		{"apps", "deployments", "", "get", namespace},
		{"rbac.authorization.k8s.io", "roles", "", "create", namespace},
		{"batch", "jobs", "", "create", "default"},
		{"", "pods", "", "list", ""},
		{"", "nodes", "", "list", ""},
		{"", "namespaces", "", "get", ""},
	}
}

// rights asks the API server what the accounts of the base may do.
func (s *studio) rights() {
	for _, account := range []string{"llmctl-celery-worker", "llmctl-studio-backend"} {
		for _, r := range dispatching() {
			require.True(s.t, s.may(account, r), "%s may %v", account, r)
		}
	}
	for _, account := range []string{"llmctl-celery-worker", "llmctl-studio-backend", "llmctl-studio", "llmctl-executor", "default"} {
		for _, r := range forbidden() {
			require.False(s.t, s.may(account, r), "%s may not %v", account, r)
		}
	}
	for _, account := range []string{"llmctl-studio", "llmctl-executor", "default"} {
		for _, r := range dispatching() {
			require.False(s.t, s.may(account, r), "%s may not %v", account, r)
		}
	}
}

func (s *studio) may(account string, r right) bool {
	s.t.Helper()
	answer, err := s.cluster.Client.AuthorizationV1().SubjectAccessReviews().Create(s.t.Context(), &authv1.SubjectAccessReview{
		Spec: authv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:" + namespace + ":" + account,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
			ResourceAttributes: &authv1.ResourceAttributes{
				Namespace: r.namespace, Group: r.group, Resource: r.resource, Subresource: r.sub, Verb: r.verb,
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	return answer.Status.Allowed
}

// tokens: only those that dispatch have one for the Kubernetes API.
func (s *studio) tokens(t *testing.T) {
	t.Helper()
	pods, err := s.cluster.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range pods.Items {
		p := &pods.Items[i]
		name := p.Labels["app.kubernetes.io/name"]
		dispatches := name == "llmctl-celery-worker" || name == "llmctl-studio-backend"
		require.Equal(t, dispatches, *p.Spec.AutomountServiceAccountToken, p.Name)
	}
}
