# One word each: run, test, test-fast, test-local, test-cluster, cluster, cluster-down,
# kind, manifests, check, docs, bench, chaos, sim. Everything is installed into .venv on first use.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# What exercises the pure rooms; .coverage says how far.
PURE_TESTS := tests/unit/plan tests/unit/logs tests/unit/spec $(addprefix tests/unit/test_, admission.py \
  choosing.py constraints.py direction.py end_times.py engine.py environment.py fitting.py last_words.py \
  long_lines.py masking.py queued.py repeats.py resources.py retesting.py steering.py units.py)
DOCS_STAMP := .venv/.docs-installed
SOURCES := core/pyproject.toml operator/pyproject.toml trial_image/pyproject.toml requirements-dev.txt constraints.txt

FAULTS ?= 100
ATONCE ?= 1
SEED ?= 1

.PHONY: chaos sim run install test test-fast test-local test-cluster cluster cluster-down kind manifests check coverage docs bench clean

run: install
	$(BIN)/kubetuna run examples/experiment-task1.yaml --preset quick

install: $(STAMP)

$(STAMP): $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kubetuna needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	@echo "Installing into .venv (torch is large: minutes on the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e 'core[dashboard,analysis]' -e operator -e 'trial_image[task2]' -r requirements-dev.txt
	@touch $@

check: install coverage
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -m sources tests/sim/mutants tests/unit tests/report

# How far the tests of the pure rooms reach; it fails where that has fallen.
coverage: install
	@$(BIN)/coverage run -m pytest $(PURE_TESTS) -k "not Chaos"
	@$(BIN)/coverage report

# The documentation site, in site/; a broken link or reference fails it.
docs: $(DOCS_STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(DOCS_STAMP): $(STAMP) requirements-docs.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-docs.txt
	@touch $@

# The checks, the documentation and all tests, also those that need a Kubernetes cluster: the first time its programs
# are built, in about 20 minutes.
test: check docs
	@$(BIN)/python -m tests

cluster: install
	@$(BIN)/python -m hack.cluster up
	@$(BIN)/python -m hack.cluster install

# The same on a machine with Docker.
kind:
	@hack/cluster/kind.sh

# The kustomize bases, from the chart; helm is the one of `make cluster`, or yours.
manifests: install
	PATH=$(CURDIR)/.cluster/bin:$$PATH $(BIN)/python manifests/render.py

# Faults on the cluster of `make cluster`, or on that of KUBETUNA_TEST_KUBECONFIG: FAULTS of them, in the order of SEED,
# ATONCE at a time.
chaos: install
	@$(BIN)/python -m tests.chaos --faults $(FAULTS) --seed $(SEED) --at-once $(ATONCE)

# The operator in simulated worlds, seed after seed until one fails; with SEED=N one of them, line by line; with
# COVERAGE=1 what of the operator they reach.
sim: install
	@$(BIN)/python -m $(if $(COVERAGE),tests.sim.coverage_report,tests.sim $(if $(filter command \
	  environment,$(origin SEED)),--seed $(SEED)))

cluster-down:
	$(BIN)/python -m hack.cluster down

# GROUP=cluster, chart, chaos or controllers: only those.
test-cluster: install
	@$(BIN)/python -m tests --cluster-only $(if $(GROUP),--group $(GROUP))

# All tests but those that need a cluster.
test-local: install
	@$(BIN)/python -m tests --without-cluster

test-fast: install
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit

bench: install
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv build dist site
