# Runnel's commands. `make` alone lists them.

BIN      := bin/runnel
IMAGE    ?= runnel:latest
LISTEN   ?= 127.0.0.1:9092
MINUTES  ?= 10
FUZZTIME ?= 10s
SUITE    := cd integration && go run ./cmd/suite
# What is built the same way is compiled once: with cgo, or without -trimpath, the demo would compile most of the broker's
# dependencies again. Compilers live too short to collect garbage, which is a fifth of their work; the bound is for each.
COMPILE  := CGO_ENABLED=0 GOGC=off GOMEMLIMIT=1GiB go build -trimpath -ldflags='-s -w'

.DEFAULT_GOAL := help
.PHONY: help build dist image run demo test test-unit test-e2e test-kafka sim chaos bench lint vuln fuzz generate tools clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

build: ## build bin/runnel, one static binary
	$(COMPILE) -o $(BIN) ./cmd/runnel

dist: ## build static binaries for Linux on amd64 and arm64, and what the Dockerfile adds to an image, in dist/
	cd integration && go run ./cmd/image -files

image: ## make the container image, without an engine: dist/runnel.tar for registries, dist/runnel-ARCH.tar for docker load
	cd integration && go run ./cmd/image -name $(IMAGE)

run: build ## start a broker on 127.0.0.1:9092, nothing to install, data in memory
	$(BIN) dev --listen $(LISTEN)

demo: build ## stream a real data set through a broker and check what the consumers computed
	cd integration && $(COMPILE) -o ../bin/demo ./demo && ../bin/demo

test: build ## all tests: unit and contract, end to end, real clients; prints a summary per tier
	@integration/packages.sh
	$(SUITE)

test-unit: ## unit tests with the race detector, no servers
	go test -race ./...

test-e2e: build ## end to end: crashes and outages, real clients, what brokers are deployed with
	$(SUITE) e2e compat ecosystem secure deploy

test-kafka: ## the tests of clients and what is built on them against Apache Kafka itself, which must pass them too
	cd integration && RUNNEL_COMPAT_TARGETS=kafka go run ./cmd/suite compat ecosystem

chaos: build ## break a cluster of processes for MINUTES=10 and judge what clients saw; SEED=n repeats a schedule
	@integration/packages.sh
	cd integration && RUNNEL_BIN=$(CURDIR)/$(BIN) RUNNEL_CHAOS_MINUTES=$(MINUTES) RUNNEL_CHAOS_SEED=$(SEED) \
		go test -v -count=1 -timeout=$$(($(MINUTES) * 2 + 15))m -run='^TestNothingIsLostWhateverBefallsTheCluster$$' ./chaos

bench: ## measure on servers that it starts, beside Apache Kafka, and write docs/benchmarks.md; 20 minutes
	cd integration && go run ./bench -out ../docs/benchmarks.md

sim: ## play SEEDS=100 simulated clusters with faults, from SEED_BASE on if given, or the one SEED=n
	cd integration && go run ./cmd/sim $(if $(SEED),-seed $(SEED)) $(if $(SEEDS),-seeds $(SEEDS)) $(if $(SEED_BASE),-base $(SEED_BASE))

lint: ## run the linter on all modules
	@lint="$$(cd integration && go run ./cmd/toolchain golangci-lint)" && \
	for module in . integration testcontainers/runnel; do (cd $$module && "$$lint" run ./...) || exit 1; done

vuln: ## look for known vulnerabilities in what the binary calls; asks vuln.go.dev, or what GOVULNDB names
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./cmd/runnel

fuzz: ## run every fuzz target of both modules for FUZZTIME each (10s); FUZZ=Name runs those whose names contain it
	@for module in . integration; do (cd $$module && go list -f '{{$$dir := .Dir}}{{range .TestGoFiles}}{{$$dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$dir}}/{{.}}{{"\n"}}{{end}}' ./...) || exit 1; done \
	| xargs -r grep -Ho '^func Fuzz[A-Za-z0-9_]*$(FUZZ)[A-Za-z0-9_]*' | sed 's/:func /:/' | while IFS=: read -r file target; do \
		echo "fuzz $$target ($$(dirname $$file)), which is compiled with all that it uses first: a minute on two idle cores, when it is new"; \
		(cd $$(dirname $$file) && go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=5s .) || exit 1; \
	done

generate: ## write the generated documents anew
	go generate ./...

tools: ## install the pinned S3 server and linter (the clients install on first use)
	cd integration && go run ./cmd/toolchain versitygw golangci-lint

clean: ## remove what was built here; the tool cache stays
	rm -rf bin dist
