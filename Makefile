# Everything a developer, an operator or CI runs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo
PORT ?= 8443
ROLE ?= operator
BIN := target/debug

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: build
build: ## All programs, in debug
	$(CARGO) build --locked --workspace --bins

.PHONY: demo
demo: build ## Four services and a partner on SQLite: the six flows and the refusals
	@$(BIN)/devmesh demo

.PHONY: run
run: build ## The same mesh left running; PORT=0 picks free ports
	@exec $(BIN)/devmesh run --port $(PORT)

$(BIN)/devmesh:
	$(CARGO) build --locked --workspace --bins

.PHONY: face
face: $(BIN)/devmesh ## Another picture of the running mesh's resident in FACE_FILE
	@$(BIN)/devmesh face

.PHONY: cert
cert: $(BIN)/devmesh ## An operator's certificate for the running mesh: ROLE=viewer|operator|privacy
	@$(BIN)/devmesh cert --role $(ROLE)

.PHONY: test
test: lint build ## Format, lint and test everything
	scripts/tools.sh postgres oauth-python oauth-node oauth-go
	$(CARGO) test --locked --workspace

.PHONY: test-tls
test-tls: build ## What the listeners agree to, as openssl and testssl.sh see it
	scripts/tools.sh testssl
	tests/tls.sh

.PHONY: test-fuzz
test-fuzz: build ## Requests made up from the OpenAPI document; SEED=... runs one again
	scripts/tools.sh schemathesis
	tests/fuzz.sh

.PHONY: test-flood
test-flood: build ## Strangers who hold on and hammer, by the thousand
	FLOOD_CONNECTIONS=10000 $(CARGO) test --locked -p mesh-tests --test mesh flood::

.PHONY: lint
lint: ## rustfmt, clippy, buf, cargo-deny, the chart, paths in the docs
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	scripts/tools.sh buf cargo-deny
	.tools/bin/buf lint
	PATH="$(CURDIR)/.tools/bin:$$PATH" $(CARGO) deny check bans licenses sources
	@echo "skipped: cargo deny check advisories: their database comes over the network and from no package registry"
	scripts/lint-chart.sh
	scripts/lint-docs.py --self-test
	scripts/lint-docs.py

.PHONY: fmt
fmt: ## Format
	$(CARGO) fmt --all

.PHONY: bench-token
bench-token: ## Tokens beside the bare chain and other servers: docs/benchmarks/token.json
	$(CARGO) build --release --locked --workspace --bins
	scripts/tools.sh bench-oidc-provider bench-keycloak
	target/release/bench token

.PHONY: bench-identify
bench-identify: ## One face of a million beside other people's searches: docs/benchmarks/identify.json
	$(CARGO) build --release --locked --workspace --bins
	scripts/tools.sh bench-identify bench-pgvector
	target/release/bench identify

.PHONY: bench-open
bench-open: ## The whole way of an opening beside the database's commits: docs/benchmarks/open.json
	$(CARGO) build --release --locked --workspace --bins
	scripts/tools.sh postgres
	target/release/bench open

.PHONY: bench-webhook
bench-webhook: ## Webhook events beside the database's own insertions: docs/benchmarks/webhook.json
	$(CARGO) build --release --locked --workspace --bins
	scripts/tools.sh postgres
	target/release/bench webhook

.PHONY: chart
chart: ## Lint and render the Helm chart
	scripts/lint-chart.sh
