#!/usr/bin/env bash
# Fuzzes: tools/fuzz.sh <seconds for each target> [folder ...]. Without folders, every
# target of the repository. What makes a target fail is written below its package's
# testdata/fuzz, where it is a test case from then on.
set -euo pipefail

seconds=$1
shift
[ $# -gt 0 ] || set -- $(grep -rlE --include='*_test.go' '^func Fuzz' cmd internal | xargs -n1 dirname | sort -u)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=${FUZZ_CACHE:-$(go env GOCACHE)/fuzz/llmctl}
targets=0

# By default the fuzzer spends up to a minute on making each input that it finds smaller, which
# may be all the time that there is.
run() { # FOLDER TARGET
	(cd "$1" && timeout $((seconds * 2 + 60)) "$work/fuzz.test" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "${seconds}s" \
		-test.fuzzminimizetime 20x -test.fuzzcachedir "$cache/$1" -test.parallel "${FUZZ_PARALLEL:-2}") >"$work/log" 2>&1
}

# Go's fuzzer may take the end of its own time for a failure, when a worker is busy just
# then: it names no input. Such a target is run once more.
unfinished() {
	grep -q '^ *context deadline exceeded$' "$work/log" && ! grep -q 'Failing input' "$work/log"
}

for folder in "$@"; do
	# Built first, so that building does not count as fuzzing.
	go test -c -fuzz . -o "$work/fuzz.test" "./$folder"
	for name in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$folder"/*_test.go | cut -c6- | sort -u); do
		mkdir -p "$cache/$folder"
		if ! run "$folder" "$name" && ! { unfinished && run "$folder" "$name"; }; then
			cat "$work/log"
			echo "FAIL: $name in $folder"
			exit 1
		fi
		targets=$((targets + 1))
		[ "$seconds" -lt 30 ] || echo "$folder $name: $(grep -E '^fuzz: elapsed' "$work/log" | tail -1 | cut -d, -f2-)"
	done
done
echo "$targets fuzz targets found nothing in ${seconds} s each"
