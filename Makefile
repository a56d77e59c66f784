# `make` lists what there is to do.

FUZZTIME ?= 10s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## start a gateway on 127.0.0.1:8080; without keys, four providers are simulated
	@if env | grep -Eq '^CAS_[A-Z0-9_]+_API_KEY(_FILE)?=.'; then \
		exec bin/cas serve; \
	fi; \
	case "$${CAS_LISTEN:-127.0.0.1:8080}" in \
	127.* | localhost:* | '[::1]:'*) \
		echo 'No key of a provider is set (CAS_KIMI_API_KEY, CAS_GLM_API_KEY, …): Kimi, GLM, Anthropic and Gemini are SIMULATED.'; \
		exec bin/cas serve --simulate-providers ;; \
	*) exec bin/cas serve ;; \
	esac

.PHONY: demo
demo: build ## watch a gateway store, find, copy, sign and delete real files
	scripts/demo

.PHONY: build
build: ## build bin/cas, a static binary
	CGO_ENABLED=0 go build -trimpath -pgo=cmd/cas/hot.pgo -ldflags '-X casgate/cmd/cas/internal/build.version=$(VERSION)' -o bin/cas ./cmd/cas

.PHONY: release
release: ## build the archives of a release into dist/, with their checksums (VERSION=v1.2.3)
	go run ./scripts/release --version '$(VERSION)'

.PHONY: test
test: ## run all tests against real services (RACE=1: with the race detector)
	scripts/test all $(if $(RACE),-race)

.PHONY: test-quick
test-quick: ## run the tests that need no services, for a first look
	scripts/test quick

.PHONY: lint
lint: ## check format, vet, staticcheck, import rules, go.mod and scripts
	scripts/lint

.PHONY: screenshots
screenshots: ## take pictures of each view of the console, into .cache/screenshots
	rm -rf .cache/screenshots && mkdir -p .cache/screenshots
	CAS_TEST_SCREENSHOTS=$(CURDIR)/.cache/screenshots CAS_TEST_THOROUGH=1 CAS_TEST_DISALLOW_SKIP=1 go test -count 1 -run TestConsoleInChromium/looks ./gateway

.PHONY: console-figures
console-figures: ## measure the console's first paint, and a list of 10,000 files
	CAS_TEST_CONSOLE_FIGURES=1 CAS_TEST_THOROUGH=1 CAS_TEST_DISALLOW_SKIP=1 go test -count 1 -v -run TestConsoleInChromium/many ./gateway

.PHONY: bench
bench: ## measure beside Echo, MinIO and nginx, which root gets installed (FLAGS=--quick)
	SERVICES_FSYNC=on scripts/services run go run ./scripts/bench $(FLAGS)

# The cases of scripts/bench whose profiles make up cmd/cas/hot.pgo.
# It isn't called default.pgo: each edit would compile all packages once more for the
# tests of the command.
PGO_CASES := ^(get-4k-echo|get-64k-echo|get-4k-minio|put-4k-new|put-4k-existing|copy-hit-embedded|copy-hit-served|file-new-served)$$

.PHONY: pgo
pgo: ## profile the hot paths into cmd/cas/hot.pgo; `make bench FLAGS=--pgo` says if it pays
	rm -rf .cache/pgo
	SERVICES_FSYNC=on scripts/services run go run ./scripts/bench --rounds 1 --duration 10s --profiles .cache/pgo --only '$(PGO_CASES)'
	go tool pprof -proto -output cmd/cas/hot.pgo .cache/pgo/*.pprof

.PHONY: chaos
chaos: ## break three gateways and their servers, and check that nothing is lost (CHAOS_TIME=3m, CHAOS_SEED=…)
	scripts/services programs go run ./scripts/chaos

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (10s)
	FUZZTIME=$(FUZZTIME) scripts/fuzz

.PHONY: fmt
fmt: ## format the Go code
	gofmt -s -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: up
up: ## start Postgres, PgBouncer and MinIO for trying things out
	@scripts/services up

.PHONY: down
down: ## stop what `make up` started
	@scripts/services down

.PHONY: clean
clean: down ## remove what was built here
	rm -rf bin .cache bench-*.json
