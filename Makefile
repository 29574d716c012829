# Everything from a machine with make, Git, Python >= 3.11, Go >= 1.26 (for the test cluster only) and a network to
# install from; `make up` needs neither Git nor Go. Nothing is touched outside .venv, .titan and the tools' cache
# (TITAN_TOOLS_DIR, else the user's cache folder).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --warn-undefined-variables
# Whoever sets it would have each of hundreds of test processes compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# How pytest reports each tier; support/tiers/summary.py adds the tier's seconds.
SLOWEST := --durations=10
# More processes than cores: most of these tests wait for other processes. support/tiers/groups.py has the groups.
SPREAD := --numprocesses=5 --dist=loadgroup
# Control planes and whole stacks compute more than they wait.
SPREAD_CLUSTER := --numprocesses=4 --dist=loadgroup
# The first interpreter that is new enough; lazily, so that `make help` needs none.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)
PROTOS := $(wildcard protos/titan/v1/*.proto)

.PHONY: help install dev up cluster tools generate test lint breaking unit service clustertests images release nodetests e2e chaos bench lock clean

help: ## The targets of this file
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(BIN)/.titan ## The programs that run, in .venv, from requirements.lock (by itself before `make up`)

dev: $(BIN)/.requirements-dev ## The packages of development as well, from requirements-dev.lock (by itself before all the rest)

# Whether .venv was moved, or its interpreter is gone or another than a PYTHON that was given; some 20 ms.
ifneq ($(filter-out help clean,$(MAKECMDGOALS)),)
STALE := $(shell ci/environment.sh stale "$(VENV)" $(if $(filter file,$(origin PYTHON)),,"$(PYTHON)"))
else
STALE :=
endif

$(BIN)/.environment: $(if $(STALE),FORCE)
	@ci/environment.sh make "$(VENV)" "$(PYTHON)" $(if $(filter file,$(origin PYTHON)),,given)

FORCE:

$(BIN)/.requirements: requirements.lock ci/install_lock.py $(BIN)/.environment
	@$(BIN)/python ci/install_lock.py requirements.lock
	@touch $@

# Builds the protos too (hatch_build.py). No index is asked: what it needs is installed by now.
$(BIN)/.titan: $(BIN)/.requirements pyproject.toml hatch_build.py $(PROTOS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q services operator
	@touch $@

# After .titan, so that two processes never install at a time.
$(BIN)/.requirements-dev: requirements-dev.lock ci/install_lock.py | $(BIN)/.titan
	@$(BIN)/python ci/install_lock.py requirements-dev.lock
	@touch $@

up: install ## A whole stack on this machine, on the simulated market, armed on paper; Ctrl-C stops it
	@$(BIN)/titan up -f policies/demo.yaml -f examples/quickstart.yaml --arm $(ARGS)

cluster: dev tools ## A real Kubernetes control plane with Titan installed on this machine, by hand; Ctrl-C stops it
	@PYTHONPATH=ci:tests exec $(BIN)/python -m support.cluster $(ARGS)

tools: ## The pinned Go tools of the test cluster, built into a cache: some minutes, once
	@PYTHON=$(PYTHON) ci/tools/build > /dev/null

generate: dev ## The files made from the typed models: CRDs, the charts' copies, their READMEs
	@$(BIN)/python ci/generate.py

test: dev ## Everything that a change must pass: lint, then unit, service and cluster tests
	@# One of lint's parts takes most of its time, in one thread.
	@ci/timed 'make test' 'lint unit' service clustertests

lint: dev breaking ## Style, types, layers, protos, spelling, subjects of commits
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/buf lint
	@git ls-files -z | xargs -0 $(BIN)/codespell
	@$(BIN)/python ci/commit_subjects.py

breaking: dev ## Whether the protos still fit those of the last commit on main that changed them
	@BUF=$(BIN)/buf ci/breaking.sh

unit: dev ## The pure tests only
	@$(BIN)/python -m pytest tests/unit -n 2 --dist worksteal $(SLOWEST) $(ARGS)

service: dev ## Each process over real gRPC, and whole stacks
	@PYTHON=$(PYTHON) ci/tools/build --tier service > /dev/null
	@$(BIN)/python -m pytest tests/service $(SPREAD) $(SLOWEST) $(ARGS)

clustertests: dev tools ## The operator, charts and CRDs on a real API server
	@$(BIN)/python -m pytest tests/cluster $(SPREAD_CLUSTER) $(SLOWEST) $(ARGS)

images: dev ## The container images, with their sizes against their budgets; as root, on Debian or its kin
	@ci/tools/apt
	@PYTHON=$(CURDIR)/$(BIN)/python ci/images build $(ARGS)

release: dev ## Images pushed, signed and attested, and the signed release file: ARGS='REGISTRY/PATH --key FILE'
	@ci/tools/apt
	@PYTHON=$(CURDIR)/$(BIN)/python ci/release $(ARGS)

nodetests: dev ## Images as pods run them, built twice alike; the node itself, in a network namespace; as root
	@ci/tools/apt
	@$(BIN)/python -m pytest tests/images tests/node $(SLOWEST) $(ARGS)

e2e: dev ## From Dockerfile to a filled order in pods: on a node of this machine as root, or TITAN_E2E_KUBECONFIG's
	@PYTHON=$(BIN)/python ci/e2e $(ARGS)

chaos: dev tools ## Long fault sweeps: processes killed ten times in a replay, recovery at every record, all seeds, whole sweeps
	@TITAN_CHAOS=1 $(BIN)/python -m pytest tests/unit tests/service/stack/test_kills.py tests/service/stack/test_seeds.py \
		tests/service/stack/test_frozen.py tests/service/stack/test_policy_in_force.py \
		tests/service/execution/test_recovery.py tests/service/execution/test_start.py tests/service/brain/test_stopped.py \
		tests/cluster/api/test_crd_constraints.py tests/cluster/controller/test_cut_writes.py \
		tests/cluster/controller/guarded/test_faults_kills.py tests/cluster/controller/guarded/test_faults_api.py \
		tests/cluster/admission/test_admission.py tests/cluster/stack_life/test_stack_halted.py \
		tests/cluster/stack_life/test_life_rolls.py $(SLOWEST) $(ARGS)

bench: dev ## Latencies, with the floor measured in the same run
	@$(BIN)/python -m bench $(ARGS)

LOCKED := --quiet --generate-hashes --no-header --no-emit-index-url --no-emit-find-links
IMAGE := --python-platform x86_64-manylinux_2_36 --python-version 3.11 --no-annotate

# The complete lock is the resolution; the others begin as copies of it, so that versions and hashes are its own.
lock: $(BIN)/.environment ## The lock files anew from pyproject.toml; ARGS='--upgrade-package NAME' for newer versions
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@$(BIN)/uv pip compile $(LOCKED) --universal --python-version 3.11 --all-extras --group dev $(ARGS) \
		--output-file requirements-dev.lock pyproject.toml
	@cp requirements-dev.lock requirements.lock
	@$(BIN)/uv pip compile $(LOCKED) --universal --python-version 3.11 --extra laptop --group build \
		--constraint requirements-dev.lock --output-file requirements.lock pyproject.toml
	@for image in operator services; do \
		cp requirements-dev.lock images/$$image.lock; \
		$(BIN)/uv pip compile $(LOCKED) $(IMAGE) --extra $$image --constraint requirements-dev.lock \
			--output-file images/$$image.lock pyproject.toml; \
	done
	@echo pip | $(BIN)/uv pip compile $(LOCKED) --python-version 3.11 --no-annotate --output-file images/installer.lock -
	@! grep -nE '://|--(extra-)?index|--find-links|file:' requirements*.lock images/*.lock || \
		{ echo "a lock names an address" >&2; exit 1; }

clean: ## Remove what the tools wrote (not .venv, not .titan)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
