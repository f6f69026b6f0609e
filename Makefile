# What a person does here. Everything else is in the Go tool.
GO      ?= go
CONTAINER ?= podman
BIN     := bin/anymesh
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: build demo demo-k8s cluster check test race lint generate oracle chart image bench fuzz clean

build: ## the one binary
	@$(GO) build -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/anymesh

demo: build ## a small shop on the built-in mesh; edit examples/shop while it runs
	@$(BIN) demo examples/shop

demo-k8s: ## the same shop in a Kubernetes of its own; kubectl edits it. The first time that is compiled, for some minutes
	@$(GO) build -o bin/demo-k8s ./demo/kubernetes
	@bin/demo-k8s

cluster: ## the Kubernetes of the tests and of demo-k8s, where it is not built yet
	@$(GO) run ./test/kubetest/build >/dev/null

check: lint test oracle chart ## all that CI asks

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "gofmt: run gofmt -w on these"; exit 1; }
	@$(GO) vet ./...
	@$(GO) tool staticcheck ./...
	@cd test/cluster && $(GO) vet ./...
	@$(GO) run ./cmd/anymesh docs --check docs
	@$(GO) run ./cmd/anymesh crds --check deploy/crds
	@$(GO) run ./cmd/anymesh manifests --check deploy

# What many goroutines share runs under the race detector. The packages on a cluster do so by `make race` alone: to compile Kubernetes' client
# for it takes longer than all tests.
SHARED  := ./control/... ./demo ./engine ./file/... ./identity/... ./proxy/... ./sidecar ./store ./up/... ./xds

test: cluster
	@$(GO) test -race -timeout 20m $(SHARED)
	@$(GO) test -run 'Quick(Idle|Allocs)' ./proxy # what the race detector would count too
	@$(GO) test -timeout 40m $$($(GO) list ./... | grep -vxF "$$($(GO) list $(SHARED))")

race: cluster ## everything under the race detector
	@$(GO) test -race -timeout 90m ./...

oracle: ## the meshes' own code judges what we write for them, and real calls of gRPC go through it
	@cd test/oracle/istio && $(GO) test -count=1 -timeout 30m ./...
	@cd test/oracle/cilium && $(GO) test -count=1 -timeout 60m ./...

chart: ## Helm's own engine renders the chart: it says what the manifests say
	@cd test/chart && $(GO) test -count=1 ./...

image: ## what runs in a cluster
	@$(CONTAINER) build -f deploy/Containerfile --build-arg VERSION=$(VERSION) -t anymesh:$(VERSION) .

generate: ## what is made from the code: pages of docs, CustomResourceDefinitions, manifests, the chart
	@$(GO) run ./cmd/anymesh docs docs
	@$(GO) run ./cmd/anymesh crds deploy/crds
	@$(GO) run ./cmd/anymesh manifests deploy

bench: ## figures at two sizes and more; see bench/README.md
	@$(GO) test -run '^$$' -bench 'Change|FanOut' -skip '/100000$$' -benchtime 1000x ./bench
	@$(GO) test -run '^$$' -bench 'Full|Heap|Command' -skip '/100000$$' -benchtime 2x ./bench

fuzz: ## each fuzz target for a minute
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	  $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$p || exit 1; done; done

PAIRS ?= 1000000
soak: ## a million pairs of a made-up world and a request for each mesh; PAIRS=5000 for a taste
	@$(GO) test -run 'Conform|Legacy' -v -count=1 -timeout 12h $$(grep -rl 'meshtest\.Run(' mesh --include='*_test.go' | xargs -n1 dirname | sort -u | sed 's|^|./|') -args -pairs $(PAIRS)

clean:
	@rm -rf bin
