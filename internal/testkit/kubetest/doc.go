// Package kubetest gives tests a Kubernetes cluster whose pods really run, and the means
// to disturb it.
//
// `make test-kubernetes` starts the cluster once and says through the environment where it
// is; this package only finds it. A test binary whose tests all need a cluster calls
// [Main] from its TestMain, so that `go test ./...` without a cluster passes it by. Each
// test takes a namespace of its own: [Cluster.Namespace] removes it at the end, and shows
// what its pods said when the test has failed.
//
// The cluster is either the rig's (see tools/test-kubernetes.sh) or somebody's own. What
// only the rig can do (importing images, killing the control plane) skips the test on
// another one, with the reason.
//
// It must not know what is tested: no image, manifest or role of the Studio is named here.
package kubetest
