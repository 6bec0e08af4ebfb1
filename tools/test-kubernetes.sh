#!/usr/bin/env bash
# Starts the cluster for tests, runs the tests that need one, takes it down again and
# ends with one line that counts them.
#
#   K8S_RIG         folder of the rig (../shared/k8s-rig)
#   K8S_RIG_DIR     keep the rig's files and binaries here; a short path (a new folder in /tmp)
#   K8S_KUBECONFIG  use this cluster instead of the rig; a plain KUBECONFIG is left alone,
#                   since it may be that of a cluster that matters
#   PACKAGES, RUN   only these packages, only tests that match this expression
#   LOG             keep the whole output in this file
#   BENCH           run the benchmarks of the packages instead of their tests
set -uo pipefail
cd "$(dirname "$0")/.."

child=
dir=
made=
log=$(mktemp)
rig=${K8S_RIG:-../shared/k8s-rig}

fail() {
	echo "test-kubernetes: $*" >&2
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
}

# A group of its own, so that everything in it can be ended at once.
group() {
	setsid "$@" </dev/null &
	child=$!
	wait "$child"
}

finish() {
	local code=$?
	trap '' INT TERM HUP
	[ -z "$child" ] || kill -TERM -- "-$child" 2>/dev/null
	if [ -n "$dir" ]; then
		"$rig/rig.sh" down "$dir" || echo "the rig could not be taken down: $dir" >&2
		[ -z "$made" ] || rm -rf "$dir"
	fi
	[ -z "${LOG:-}" ] || mv -f "$log" "$LOG"
	rm -f "$log" "$log.image"
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# kubectl is built from its module where the machine has none.
kubectl() {
	export PATH=$PWD/bin:$PATH
	type -P kubectl >/dev/null && return
	echo "building kubectl (once)"
	CGO_ENABLED=0 GOWORK=off go build -C test/kubernetes/kubectl -trimpath -o ../../../bin/kubectl .
}

# A name and a network that no other rig has.
place() {
	export RIG_NAME=${RIG_NAME:-k$(($$ % 1000000))}
	[ -z "${RIG_NET:-}" ] || return 0
	local n
	for n in $(seq 220 250); do
		ip -4 route | grep -q "^10\.$n\." || { export RIG_NET=10.$n; return; }
	done
	fail "no network 10.220 to 10.250 is free for the rig; set RIG_NET"
}

up() {
	[ -x "$rig/rig.sh" ] || fail "no rig at $rig; set K8S_RIG to its folder, or K8S_KUBECONFIG to use a cluster of your own"
	[ "$(id -u)" = 0 ] || fail "the rig needs root (network namespaces, cgroups); set K8S_KUBECONFIG to use a cluster of your own"
	rig=$(cd "$rig" && pwd)
	tools/deps.sh cluster || fail "what the rig needs is missing"
	kubectl || fail "kubectl does not build"
	place
	if [ -n "${K8S_RIG_DIR:-}" ]; then
		mkdir -p "$K8S_RIG_DIR" && dir=$(cd "$K8S_RIG_DIR" && pwd)
	else
		dir=$(mktemp -d /tmp/k8s-XXXXXX) made=yes
	fi
	[ -e "$dir/.rig" ] || [ -n "$(ls -A "$dir")" ] || touch "$dir/.rig"
	echo "starting a cluster (the first time it is compiled: about 8 minutes of CPU)"
	if ! group "$rig/rig.sh" up "$dir" >"$log" 2>&1; then
		cat "$log"
		tail -n 20 "$dir"/log/*.log 2>/dev/null
		fail "the rig does not start"
	fi
	grep '^rig: ready' "$log"
	export LLMCTL_TEST_RIG=$rig/rig.sh LLMCTL_TEST_RIG_DIR=$dir LLMCTL_TEST_KUBECONFIG=$dir/kubeconfig
}

if [ -n "${K8S_KUBECONFIG:-}" ]; then
	[ -r "$K8S_KUBECONFIG" ] || fail "K8S_KUBECONFIG: $K8S_KUBECONFIG cannot be read"
	export LLMCTL_TEST_KUBECONFIG=$K8S_KUBECONFIG
	kubectl || fail "kubectl does not build"
else
	up
fi

# Which packages need a cluster is said by what their tests import.
packages=${PACKAGES:-$(grep -rlE --include='*_test.go' '"github.com/llmctl/studio/internal/testkit/kubetest"' internal test bench | xargs -n1 dirname | sort -u | sed 's|^|./|')}
[ -n "$packages" ] || fail "no test needs a cluster"
failed=0
# How images are packed is a module of its own, and needs no cluster.
if [ -z "${PACKAGES:-}${RUN:-}" ]; then
	group env -C tools/image go test ./... -v >"$log.image" 2>&1 || failed=1
	grep -E '^(ok|FAIL)|^ *--- FAIL|_test\.go:[0-9]+:' "$log.image" || true
else
	: >"$log.image"
fi
if [ -n "${BENCH:-}" ]; then
	group bin/llmctl db with-test -- go test -p 1 -timeout 30m -v -run '^$' -bench . -benchtime 1x $packages
	exit
fi
# One package after the other: they share the cluster, and some of them harm it.
group bin/llmctl db with-test -- go test -race -p 1 -timeout 30m -v -run "${RUN:-.}" $packages >"$log" 2>&1 || failed=1
child=
grep -E '^(ok|FAIL|panic:|---? FAIL|\?)|^ +--- (FAIL|SKIP)|^--- SKIP|_test\.go:[0-9]+:|DATA RACE' "$log" | grep -v 'no test files' || true
if [ "$failed" = 1 ]; then
	echo "----- the end of the output -----"
	tail -n 150 "$log"
fi
cat "$log.image" >>"$log"
passed=$(grep -cE '^ *--- PASS' "$log")
broken=$(grep -cE '^ *--- FAIL' "$log")
skipped=$(grep -cE '^ *--- SKIP' "$log")
[ "$failed" = 0 ] || [ "$broken" -gt 0 ] || broken=1
echo "$passed passed, $broken failed, $skipped skipped"
exit "$failed"
