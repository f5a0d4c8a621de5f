# `make help` says what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

GO ?= go
BENCH ?=
FUZZTIME ?= 60s
# e2e_packages are the packages of a module that hold tests against the local cluster.
e2e_packages = $$(grep -rl --include='*_test.go' '^//go:build e2e' . | grep -v '^./local/' | xargs -r -n1 dirname | sort -u)

.PHONY: help build test test-unit test-e2e test-scanners ready lint generate demo bench fuzz clean FORCE

help: ## say what there is
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: bin/sluice bin/sluice-local ## build bin/sluice and bin/sluice-local (the first time about 4 minutes on two cores)

# Go knows itself what is up to date.
bin/sluice: FORCE
	@echo "==> bin/sluice"
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o $@ ./cmd/sluice

bin/sluice-local: FORCE
	@echo "==> bin/sluice-local"
	cd local && CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o ../$@ ./cmd/sluice-local

test: ready lint test-unit test-e2e ## everything: lint, unit tests, and the end-to-end tests on the local cluster (as root)

test-unit: ## unit tests; they need no cluster, no root and no network
	@echo "==> unit tests"
	$(GO) test ./...
	cd local && $(GO) test ./...

test-e2e: build bin/vault bin/helm bin/external-secrets ## the end-to-end tests only; starts the local cluster and leaves it running (bin/sluice local down ends it)
	@echo "==> local cluster"
	bin/sluice local up --with buildkit
	@echo "==> end-to-end tests"
	$(GO) test -tags e2e -count=1 -p 1 -parallel 2 -timeout 70m -v $(e2e_packages)
	cd local && $(GO) test -tags e2e -count=1 -p 1 -timeout 20m ./...

# Each scanner has a module of its own, and beside it the program that writes its database: no network is asked.
scanners = test/scanners
bin/grype bin/grypedb &: $(scanners)/grype/go.mod $(scanners)/grype/main.go
	@echo "==> bin/grype (once, about 10 minutes on two cores)"
	cd $(scanners)/grype && CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w -X main.version=$$($(GO) list -m -f '{{slice .Version 1}}' github.com/anchore/grype)" \
	  -o ../../../bin/grype github.com/anchore/grype/cmd/grype
	cd $(scanners)/grype && CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o ../../../bin/grypedb .

# Its packages need the new encoding/json, which is an experiment of Go 1.26.
bin/trivy bin/trivydb &: $(scanners)/trivy/go.mod $(scanners)/trivy/main.go
	@echo "==> bin/trivy (once; its 3000 packages take longer than all else here)"
	cd $(scanners)/trivy && GOEXPERIMENT=jsonv2 CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w -X github.com/aquasecurity/trivy/pkg/version/app.ver=$$($(GO) list -m -f '{{slice .Version 1}}' github.com/aquasecurity/trivy)" \
	  -o ../../../bin/trivy github.com/aquasecurity/trivy/cmd/trivy
	cd $(scanners)/trivy && CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o ../../../bin/trivydb .

test-scanners: bin/grype bin/trivy ## build and scan images with the real grype and trivy; not part of "test", because building them takes long
	SLUICE_TEST_SCANNERS=$(CURDIR)/bin $(GO) test -count=1 -v ./test/scanners

# What the machine lacks is better known before minutes of building.
ready: bin/sluice-local
	@bin/sluice-local check

# The cache is this clone's own: findings are kept with the path under which they were found.
lint: export GOLANGCI_LINT_CACHE := $(CURDIR)/bin/.golangci-lint
lint: bin/golangci-lint ## check formatting and house rules
	@echo "==> lint"
	bin/golangci-lint run --allow-parallel-runners ./...
	cd local && ../bin/golangci-lint run --allow-parallel-runners --config ../.golangci.yml ./...

bin/golangci-lint: tools/go.mod tools/go.sum
	@echo "==> bin/golangci-lint (once, about 2 minutes on two cores)"
	cd tools && $(GO) build -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

generate: ## write what is generated: the JSON Schema of sluice.yaml, the CLI reference, the transition table of ARCHITECTURE.md, the manifests of docs/operations/rbac
	$(GO) generate ./internal/config ./internal/cli
	$(GO) test ./internal/rollout -run TestArchitectureShowsTheTable -update -count=1
	$(GO) test ./internal/rbac -run TestManifests -update -count=1

demo: ready build ## release the calculator on the local cluster: good versions, bad versions, under load, with a summary (as root)
	$(GO) run ./test/demo

bin/helm: go.mod
	@echo "==> bin/helm (the Helm of the version that Sluice uses, to compare with)"
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o $@ helm.sh/helm/v4/cmd/helm

# Vault's licence is the BUSL, which nothing that is linked into Sluice has: it is a module of its own, and for tests only.
bin/vault: test/vault/go.mod test/vault/go.sum test/vault/main.go
	@echo "==> bin/vault (the Vault that the tests of its adapter run, once, about 5 minutes on two cores)"
	cd test/vault && CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w' -o ../../$@ .

# The operator imports the clients of dozens of clouds by two files of lists. They are shortened in a copy of its sources, so that minutes of
# building are enough; all else of it is the real one.
operator = github.com/external-secrets/external-secrets
bin/external-secrets bin/external-secrets-crds.yaml &: test/externalsecrets/go.mod test/externalsecrets/go.sum test/externalsecrets/main.go
	@echo "==> bin/external-secrets (the operator that the tests of references run, once, some minutes on two cores)"
	rm -rf bin/.external-secrets && mkdir -p bin/.external-secrets
	source=$$(cd bin && $(GO) mod download -json $(operator)@$$(awk '$$1 == "require" && $$2 == "$(operator)" || $$1 == "$(operator)" {print $$NF}' ../test/externalsecrets/go.mod | head -1) | \
	  sed -n 's/.*"Dir": "\(.*\)".*/\1/p'); \
	  cp -r $$source/apis $$source/pkg $$source/go.mod bin/.external-secrets/; chmod -R u+w bin/.external-secrets; \
	  for name in externalsecrets secretstores clustersecretstores; do echo ---; cat $$source/config/crds/bases/external-secrets.io_$$name.yaml; done >bin/external-secrets-crds.yaml
	printf 'package register\n\nimport _ "$(operator)/pkg/provider/vault"\n' >bin/.external-secrets/pkg/provider/register/register.go
	printf 'package register\n' >bin/.external-secrets/pkg/generator/register/register.go
	cd test/externalsecrets && CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w' -o ../../bin/external-secrets .

bin/buildctl: tools/buildctl/go.mod tools/buildctl/go.sum
	@echo "==> bin/buildctl (to compare with)"
	cd tools/buildctl && CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o ../../$@ github.com/moby/buildkit/cmd/buildctl

bench: ready build bin/helm bin/buildctl bin/vault ## the figures that the docs quote, one line each (as root); BENCH=name for one of them
	bin/sluice local up --with buildkit
	$(GO) run ./test/bench $(BENCH)

fuzz: ## look for panics in the decoders, FUZZTIME=60s each
	@grep -rn --include='*_test.go' '^func Fuzz' . | sed -E 's|^([^:]*)/[^/]*:[0-9]+:func (Fuzz[A-Za-z]+).*|\1 \2|' | while read -r package target; do \
	  echo "==> $$package $$target"; $(GO) test $$package -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s; done

clean: ## remove what was built here; the local cluster's own cache stays
	rm -rf bin
