# SPDX-License-Identifier: Apache-2.0

# Versions of the tools of `make lint`. What the tests run is pinned in
# integration/tools/go.mod and integration/tools/dockerd/go.mod.
GOLANGCI_LINT := v2.15.0
GOFUMPT       := v0.12.0
GOVULNCHECK   := v1.9.0

# How long `make fuzz` gives each fuzz target.
FUZZTIME ?= 20s

# Where `make install` puts things: the Docker CLI's plugin folder, and a folder on PATH.
DOCKER_CONFIG ?= $(HOME)/.docker
BINDIR        ?= $(HOME)/.local/bin

GO ?= go

# The version is the commit's, where there is a git repository to ask.
STAMP := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo -buildvcs=true || echo -buildvcs=false)

# The packages that the race detector runs over: all but those that only drive other programs.
LIBRARIES = $(shell $(GO) list ./... | grep -v /integration)
PRODUCT   = bin/manifest-format bin/docker-manifestformat bin/manifest-format-verifier bin/manifest-format-watcher
LINTERS   = bin/golangci-lint bin/gofumpt bin/govulncheck

.DEFAULT_GOAL := help
.PHONY: help build buildkitd image test lint fuzz bench demo docs install clean tools $(PRODUCT) bin/containerd-manifestformat

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(PRODUCT) ## Build bin/manifest-format, bin/docker-manifestformat (the same program), and for containerd bin/manifest-format-{verifier,watcher}

bin/manifest-format:
	CGO_ENABLED=0 $(GO) build -trimpath $(STAMP) -ldflags '-s -w' -o $@ ./cli-plugin

bin/docker-manifestformat: bin/manifest-format
	ln -f $< $@

bin/manifest-format-verifier:
	CGO_ENABLED=0 $(GO) build -trimpath $(STAMP) -ldflags '-s -w' -o $@ ./plugins/verifier

bin/manifest-format-watcher:
	CGO_ENABLED=0 $(GO) build -trimpath $(STAMP) -ldflags '-s -w' -o $@ ./plugins/watcher

buildkitd: ## Build bin/buildkitd: BuildKit's daemon with the exporter in it
	.ci/buildkitd bin/buildkitd

image: buildkitd ## Make an image of our buildkitd for two platforms, by itself: dist/buildkitd, an OCI layout
	.ci/tools debian buildctl runc
	.ci/image

bin/containerd-manifestformat: # containerd with the converter in it, for the tests
	.ci/containerd $@

test: tools buildkitd bin/containerd-manifestformat ## Set up everything and run every test, with every engine
	.ci/packages gcc libc6-dev zsh fish chromium || [ -z "$(CI)" ]
	$(GO) test $$(! command -v gcc >/dev/null || echo -race) -timeout 20m $(LIBRARIES)
	$(GO) test -count=1 -timeout 30m ./integration/...

lint: $(LINTERS) ## Run go vet, golangci-lint, gofumpt and govulncheck
	$(GO) vet ./...
	bin/golangci-lint run --allow-serial-runners --config .ci/golangci.yaml ./...
	@bad=$$(bin/gofumpt -l $$(git ls-files '*.go' ':!*.pb.go')); [ -z "$$bad" ] || { echo "not formatted by gofumpt:"; echo "$$bad"; exit 1; }
	.ci/vulncheck bin/govulncheck ./...

bin/golangci-lint: Makefile
	GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	@touch $@

bin/gofumpt: Makefile
	GOBIN=$(CURDIR)/bin $(GO) install mvdan.cc/gofumpt@$(GOFUMPT)
	@touch $@

bin/govulncheck: Makefile
	GOBIN=$(CURDIR)/bin $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK)
	@touch $@

fuzz: ## Run every fuzz target for FUZZTIME (20s)
	.ci/fuzz $(FUZZTIME)

bench: build buildkitd ## Measure manifest-format beside its peers (BENCHFLAGS='-scale 0.05' for a quick look)
	.ci/tools debian registry regctl oras crane buildx buildctl runc containerd containerd-shim-runc-v2 ctr
	$(GO) run ./integration/bench $(BENCHFLAGS)

demo: build buildkitd ## Build an image once, for two destinations, in two formats; nothing stays
	.ci/tools registry buildx runc
	$(GO) run ./integration/demo

docs: ## Write the reference of the command line anew
	$(GO) run ./integration/reference

install: build ## Install for this user: the Docker plugin and manifest-format
	install -D bin/docker-manifestformat $(DESTDIR)$(DOCKER_CONFIG)/cli-plugins/docker-manifestformat
	install -D bin/manifest-format $(DESTDIR)$(BINDIR)/manifest-format

tools: ## Build or unpack the engines and clients that the tests run, into bin/
	.ci/tools

clean: ## Delete what make made here, and nothing else
	rm -f $(PRODUCT) bin/buildkitd bin/containerd-manifestformat $(LINTERS) $$([ ! -f bin/.made ] || sed 's,^,bin/,' bin/.made) bin/.made
	[ ! -d bin ] || rmdir --ignore-fail-on-non-empty bin
