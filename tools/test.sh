#!/usr/bin/env bash
# Runs all tests and ends with one line that counts them.
set -uo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

# Once, before tests of several packages would each do it.
if [ test/socketio/package-lock.json -nt test/socketio/node_modules/.package-lock.json ]; then
	echo "installing the Socket.IO packages for the tests"
	(cd test/socketio && npm ci --no-audit --no-fund --loglevel=error)
fi

for part in mcp mcpserver rag-pgvector; do
	if [ test/$part/package-lock.json -nt test/$part/node_modules/.package-lock.json ]; then
		echo "installing the packages for test/$part"
		(cd test/$part && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
	fi
done

bin/llmctl db with-test -- go test -race -vet=off -timeout 20m -v ./... >"$log" 2>&1 || failed=1
# The verbose output is for counting; people get packages and failures.
grep -E '^(ok|FAIL|panic:|---? FAIL|\?)|^ +--- FAIL|_test\.go:[0-9]+:|DATA RACE' "$log" | grep -v 'no test files' || true
if [ "$failed" = 1 ]; then
	echo "----- the end of the output -----"
	tail -n 80 "$log"
fi
passed=$(grep -cE '^ *--- PASS' "$log")
broken=$(grep -cE '^ *--- FAIL' "$log")
skipped=$(grep -cE '^ *--- SKIP' "$log")

# What reads the messages of clients and of the bus meets a little more than its seeds.
tools/fuzz.sh 2 internal/socketio internal/socketio/redisadapter internal/realtime internal/bus internal/mcp/server || failed=1

if [ -f web/package.json ]; then
	if (cd web && npm test --silent) >"$log" 2>&1; then
		:
	else
		failed=1
	fi
	cat "$log"
	count() { sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '^ *Tests ' | grep -oE "[0-9]+ $1" | grep -oE '[0-9]+' || echo 0; }
	passed=$((passed + $(count passed)))
	broken=$((broken + $(count failed)))
fi

[ "$failed" = 0 ] || [ "$broken" -gt 0 ] || broken=1
echo "$passed passed, $broken failed, $skipped skipped"
exit "$failed"
