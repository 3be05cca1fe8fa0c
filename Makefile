# make demo | test | check | fix     (each installs what it needs first; ARGS="--rule multi-krum" goes to the demo)
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
QUICK := tests/unit tests/property tests/architecture
MAKEFLAGS += --no-print-directory
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test check lint quick fix setup gas compile vectors bench peers fuzz slither clean

demo: setup
	@$(BIN)/python scripts/demo.py $(ARGS)

test: setup quick
	@$(BIN)/python scripts/forge.py test
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/conformance tests/faults tests/e2e/test_accuracy.py
	@$(BIN)/python -m pytest -q tests/e2e --ignore tests/e2e/test_accuracy.py

check: lint quick

lint: setup
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

# of check and of test: `make check test` runs it once
quick: setup
	@$(BIN)/python -m pytest -q -n 2 $(QUICK)

fix: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

compile: setup
	@$(BIN)/python scripts/compile_contracts.py

vectors: setup
	@$(BIN)/python scripts/make_vectors.py

gas: setup
	@$(BIN)/python scripts/bench_gas.py

bench: setup peers
	@$(BIN)/python scripts/bench_attestation.py
	@$(BIN)/python scripts/bench_accuracy.py
	@$(BIN)/python scripts/bench_flags.py
	@$(BIN)/python scripts/bench_rules.py --write
	@$(BIN)/python scripts/bench_rules.py --write --memory
	@$(BIN)/python scripts/bench_rules.py --write --rounds

peers: setup
	@$(BIN)/python scripts/setup_peers.py

fuzz: setup
	@$(PIP) install -c constraints.txt -e '.[fuzz]'
	@$(BIN)/python scripts/fuzz_evidence.py $(ARGS)

slither: setup
	@test -x build/slither/bin/slither || $(PYTHON) -m venv build/slither
	@build/slither/bin/python -m pip --quiet --disable-pip-version-check install 'slither-analyzer>=0.11.6'
	@$(BIN)/python scripts/slither.py

setup: $(VENV)/.installed node_modules/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}; name another one with make PYTHON=...")'
	@echo "setting up: Python packages (a minute or two the first time)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt -e '.[dev]' 2>$(VENV)/install.log || { cat $(VENV)/install.log >&2; exit 1; }
	@touch $@

node_modules/.installed: package-lock.json | $(VENV)/.installed
	@echo "setting up: Anvil, forge, solc and OpenZeppelin" >&2
	@$(BIN)/python scripts/setup_node.py
	@touch $@

clean:
	@rm -rf $(VENV) node_modules build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis contracts/out contracts/cache
