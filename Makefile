# `make demo ARGS="--help"` passes ARGS to the command line, `make test ARGS="-k pose"` to pytest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz lint docs bench soak evidence clean

help:
	@echo "make demo      install, then run the default simulation (ARGS go to the command)"
	@echo "make test      install, lint, then run every test except the slow ones (ARGS go to pytest)"
	@echo "make fuzz      a million hostile envelopes, faults from 100 seeds, all histories of two and three peers; five minutes"
	@echo "make lint      ruff, mypy, and the size of the import graph"
	@echo "make docs      build the documentation site into site/, strictly and offline"
	@echo "make bench     speed, cost and scale, each beside a reference"
	@echo "make soak      a simulation under joins, kills, node loss, churn and malformed requests; half an hour"
	@echo "make evidence  the papers' experiments in full; hours, and resumable"
	@echo "make setup     create .venv and install into it; does nothing when nothing has changed"
	@echo "make clean     remove .venv and caches; runs/ stays"

setup: $(STAMP)
	@sh scripts/check_system.sh

# The stamp is touched last: an install that stops half-way starts again.
$(STAMP): pyproject.toml constraints.txt
	@sh scripts/check_system.sh --system-only
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed, '$(PYTHON)' is not: name another one, as in make setup PYTHON=python3.12" >&2; \
	    exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "This Python cannot make a virtual environment. Install what is missing, then try again:" >&2; \
	    echo "    sudo apt-get install -y python3-venv" >&2; \
	    exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	$(BIN)/social-jepa run $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/import_graph.py

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

test: lint
	@sh scripts/check_browser.sh
	$(BIN)/python -m pytest -n 3 $(ARGS)

fuzz: setup
	SOCIAL_JEPA_FUZZ_FRAMES=1000000 $(BIN)/python -m pytest --timeout=3600 tests/agents/protocol/test_fuzz.py \
	    tests/agents/protocol/test_verifier.py tests/agents/protocol/transports/test_faults.py \
	    tests/agents/protocol/test_states.py $(ARGS)
	@if $(BIN)/python -c 'import atheris' 2>/dev/null; then \
	    $(BIN)/python -m tests.support.guided_fuzz -atheris_runs=1000000; \
	else echo "No coverage-guided frames, which need atheris: $(BIN)/pip install -c constraints.txt -e '.[fuzz]'"; fi

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

soak: setup
	$(BIN)/python -m benchmarks --soak $(ARGS)

evidence: setup
	$(BIN)/social-jepa experiment all $(ARGS)

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
