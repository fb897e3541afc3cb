# Plain `make` lists the targets.
GO      ?= go
CACHE   ?= $(or $(FIRTH_E2E_CACHE),$(HOME)/.cache/firth-e2e)
BIN     := bin
LINT_V  := v2.15.0
LINT    := $(CACHE)/bin/golangci-lint-$(LINT_V)
SEEDS   ?= 100000
FUZZ    ?= 60s
FUZZED  ?= ./...
export FIRTH_E2E_CACHE := $(CACHE)

.PHONY: help demo build sql test race lint fuzz sim bench e2e soak check clean

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

build: ## build the firth binary into bin/
	$(GO) build -o $(BIN)/firth ./cmd/firth

sql: ## build bin/firth-sql, with the SQL engine (C compiler needed), and test the engine
	CGO_ENABLED=1 $(GO) build -tags duckdb_arrow -o $(BIN)/firth-sql ./cmd/firth
	CGO_ENABLED=1 $(GO) test -tags duckdb_arrow ./serve/query/duckdb
	CGO_ENABLED=1 $(GO) test -tags duckdb_arrow -run 'SQL|Example' ./cmd/firth

demo: build ## run the main job on the embedded broker, store and catalog
	$(BIN)/firth demo

test: ## unit, conformance, crash sweeps, simulator, whole-service runs (no server needed)
	$(GO) test -vet=off -short ./...

race: ## the same under the race detector, then without it the long forms and what it would spoil
	$(GO) test -vet=off -race -short -timeout 20m ./...
	$(GO) test -vet=off -timeout 20m ./cmd/sim $$(grep -rl --include='*_test.go' 'testing\.Short()' . | xargs -n 1 dirname | sort -u)
	$(GO) test -vet=off -timeout 20m -run MemoryLimit ./cmd/firth

lint: $(LINT) ## style guide, vet and linters (C compiler needed)
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(GO) run ./cmd/tidy
	CGO_ENABLED=1 $(GO) vet -tags e2e,duckdb_arrow ./...
	$(LINT) run

$(LINT):
	GOBIN=$(CACHE)/gobin GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_V)
	mkdir -p $(CACHE)/bin && mv $(CACHE)/gobin/golangci-lint $@

fuzz: ## every fuzz target of FUZZED (./...) for FUZZ (60s) each, or for TOTAL seconds all together
	@targets=$$(for package in $$($(GO) list $(FUZZED)); do \
	  $(GO) test -list '^Fuzz' $$package | sed -n "s|^Fuzz|$$package Fuzz|p"; done); \
	each=$(FUZZ); [ -z "$(TOTAL)" ] || each=$$(( $(TOTAL) / $$(echo "$$targets" | wc -l) ))s; \
	echo "$$targets" | while read package target; do echo "$$package $$target $$each"; \
	  $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $$each $$package || exit 1; done

sim: ## the simulator over SEEDS (100000) seeds
	$(GO) run ./cmd/sim --seeds $(SEEDS)

bench: ## the benchmarks of the hot paths
	$(GO) test -run '^$$' -bench . -benchmem ./...

e2e: build ## the same promises on real Kafka, MinIO, Postgres, Spark, Trino, ...
	e2e/install.sh
	$(GO) test -tags e2e -count 1 -parallel 2 -timeout 60m -v ./e2e/...
	$(GO) test -tags e2e -count 1 -run 'TestOther|TestRowGroup' ./table/columnchunk ./table/zstdframe

soak: build ## hours of kills, 100,000 seeds, load
	e2e/install.sh
	$(GO) run ./cmd/sim --seeds $(SEEDS)
	FIRTH_SOAK=1 $(GO) test -tags e2e -count 1 -timeout 12h -v ./e2e/...

check: lint sql ## what CI runs; servers wait much, so race runs beside e2e and gives way to it
	nice -n 10 $(MAKE) race & race=$$!; $(MAKE) e2e; e2e=$$?; wait $$race && exit $$e2e

clean: ## remove what was built
	rm -rf $(BIN) firth-demo
