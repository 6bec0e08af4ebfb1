# Everything that can be done with this repository. `make` alone lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO_SOURCES := $(shell find cmd internal -name '*.go' -o -name '*.sql') web/embed.go go.mod go.sum
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -type f -print)
WEB := $(wildcard web/package.json)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: up
up: deps-up build ## Build and start everything on this machine; options in ARGS="--demo"
	@exec bin/llmctl up $(ARGS)

.PHONY: build
build: bin/llmctl ## Build bin/llmctl with the page inside

bin/llmctl: $(GO_SOURCES) $(if $(WEB),bin/.web)
	go build -o $@ ./cmd/llmctl

# The page is built only when something below web/ changed.
bin/.web: $(WEB_SOURCES) | deps-node
	@mkdir -p bin
	@[ web/package-lock.json -ot bin/.npm ] || { echo "installing the page's packages"; (cd web && npm ci --no-audit --no-fund); touch bin/.npm; }
	cd web && npm run build
	@touch web/dist/.gitkeep $@

.PHONY: dev
dev: deps-up build ## API on :5055 and the page with hot reload on :5173
	@trap 'kill 0' EXIT; bin/llmctl up --no-browser $(ARGS) & cd web && npm run dev

.PHONY: test
test: deps-test build ## All tests that need no cluster
	@tools/test.sh

.PHONY: test-kubernetes
test-kubernetes: ## Tests that need a cluster (none so far)
	@echo "no test needs a cluster so far"

.PHONY: check
check: bin/golangci-lint bin/sqlc ## Format, generated files, lint, vet
	bin/golangci-lint fmt --diff ./...
	bin/sqlc diff
	go vet ./...
	bin/golangci-lint run ./...
ifneq ($(WEB),)
	@$(MAKE) --no-print-directory bin/.web
	cd web && npm run check
endif

.PHONY: generate
generate: bin/sqlc build ## Write everything that is generated
	bin/sqlc generate
	bin/llmctl config doc > docs/reference/configuration.md
	go test ./internal/httpapi -run TestOpenAPI -update
	bin/llmctl db with-test -- go test ./internal/postgres -run TestSchema -update

.PHONY: bench
bench: deps-up build ## Measure the engine; see bench/README.md
	bin/llmctl db with-test --durable -- go test ./bench -run '^$$' -bench . -benchtime 1x

bin/golangci-lint bin/sqlc: tools/go.mod tools/go.sum
	@echo "building $(notdir $@) (once)"
	@mkdir -p bin && cd tools && go build -o ../bin/ $(if $(findstring golangci,$@),github.com/golangci/golangci-lint/v2/cmd/golangci-lint,github.com/sqlc-dev/sqlc/cmd/sqlc)
	@touch $@

.PHONY: deps-up deps-test deps-node
deps-up: ## Install what running needs (PostgreSQL), if it is missing
	@tools/deps.sh postgresql
deps-test: ## Install what the tests need (PostgreSQL, Redis, Chromium), if it is missing
	@tools/deps.sh postgresql redis chromium
deps-node:
	@tools/deps.sh node

.PHONY: clean
clean: ## Remove what was built; data stays
	rm -rf bin web/dist/assets web/dist/index.html
