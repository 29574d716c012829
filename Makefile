# Everything from a machine with make, Python >= 3.11, Go >= 1.26 (for the test cluster only) and a network to install
# from. Nothing is touched outside .venv, .titan and the tools' cache (TITAN_TOOLS_DIR, else the user's cache folder).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --warn-undefined-variables

VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# How pytest reports each tier; support/tiers.py adds the tier's seconds.
SLOWEST := --durations=10
# The first interpreter that is new enough; lazily, so that `make help` needs none.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)
PROTOS := $(wildcard protos/titan/v1/*.proto)

.PHONY: help install up cluster tools generate test lint breaking unit service clustertests images release nodetests e2e chaos bench lock clean

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(BIN)/.titan ## Python environment in .venv, from requirements.lock (by itself before everything else)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none is on the PATH (PYTHON=… names one)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) comes without venv and pip;" \
		"install them (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@"$(PYTHON)" -m venv "$(VENV)"

$(BIN)/.requirements: requirements.lock | $(BIN)/python
	@echo "installing into $(VENV): once, about a minute" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# Builds the protos too (hatch_build.py). No index is asked: what it needs is installed by now.
$(BIN)/.titan: $(BIN)/.requirements pyproject.toml hatch_build.py $(PROTOS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q services operator
	@touch $@

up: install ## A whole stack on this machine, on the simulated market, armed on paper; Ctrl-C stops it
	@$(BIN)/titan up -f policies/demo.yaml -f examples/quickstart.yaml --arm $(ARGS)

cluster: install tools ## A real Kubernetes control plane with Titan installed on this machine, by hand; Ctrl-C stops it
	@PYTHONPATH=ci:tests exec $(BIN)/python -m support.cluster $(ARGS)

tools: ## The pinned Go tools of the test cluster, built into a cache: some minutes, once
	@PYTHON=$(PYTHON) ci/tools/build > /dev/null

generate: install ## What is made from the typed models: CRDs, the charts' copies, their READMEs
	@$(BIN)/python ci/generate.py

test: install lint tools ## Everything that a change must pass: lint, then unit, service and cluster tests
	@$(MAKE) unit
	@$(MAKE) service
	@$(MAKE) clustertests

lint: install breaking ## Style, types, layers, protos
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/buf lint

breaking: install ## Whether the protos still fit those of the last commit on main that changed them
	@BUF=$(BIN)/buf ci/breaking.sh

unit: install ## The pure tests only
	@$(BIN)/python -m pytest tests/unit -n 2 --dist worksteal $(SLOWEST) $(ARGS)

service: install tools ## Each process over real gRPC, and whole stacks
	@$(BIN)/python -m pytest tests/service $(SLOWEST) $(ARGS)

clustertests: install tools ## The operator, charts and CRDs on a real API server
	@$(BIN)/python -m pytest tests/cluster $(SLOWEST) $(ARGS)

images: install ## The container images, with their sizes against their budgets; as root, on Debian or its kin
	@ci/tools/apt
	@PYTHON=$(CURDIR)/$(BIN)/python ci/images build $(ARGS)

release: install ## Images pushed, signed and attested, and the signed release file: ARGS='REGISTRY/PATH --key FILE'
	@ci/tools/apt
	@PYTHON=$(CURDIR)/$(BIN)/python ci/release $(ARGS)

nodetests: install ## Images as pods run them, built twice alike; the node itself, in a network namespace; as root
	@ci/tools/apt
	@$(BIN)/python -m pytest tests/images tests/node $(SLOWEST) $(ARGS)

e2e: install ## From Dockerfile to a filled order in pods: on a node of this machine as root, or TITAN_E2E_KUBECONFIG's
	@PYTHON=$(BIN)/python ci/e2e $(ARGS)

chaos: install tools ## The long fault sweeps: each process killed ten times in a replay, recovery at every record, all seeds, every case of the unit tests' sweeps
	@TITAN_CHAOS=1 $(BIN)/python -m pytest tests/unit tests/service/test_kills.py tests/service/test_seeds.py \
		tests/service/test_execution_recovery.py tests/service/test_execution_start.py \
		tests/cluster/test_crd_constraints.py tests/cluster/test_cut_writes.py tests/cluster/guarded/test_faults_kills.py \
		tests/cluster/guarded/test_faults_api.py tests/cluster/test_admission.py $(SLOWEST) $(ARGS)

bench: install ## Latencies, with the floor measured in the same run
	@$(BIN)/python -m bench $(ARGS)

lock: $(BIN)/python ## requirements.lock and the images' locks anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev --generate-hashes \
		--no-header --no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml
	@for image in operator services; do \
		$(BIN)/uv pip compile --quiet --python-platform x86_64-manylinux_2_36 --python-version 3.11 --extra $$image \
			--constraint requirements.lock --generate-hashes --no-header --no-annotate --no-emit-index-url \
			--no-emit-find-links --output-file images/$$image.lock pyproject.toml; \
	done
	@echo pip | $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file images/installer.lock -
	@! grep -nE '://|--(extra-)?index|--find-links|file:' requirements.lock images/*.lock || \
		{ echo "a lock names an address" >&2; exit 1; }

clean: ## Remove what the tools wrote (not .venv, not .titan)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
