# make setup   a virtual environment in .venv with everything that development needs
# make demo    the whole tool on three problems, with a report
# make test    the fast tests;  make test-slow  the long ones;  make lint  style, types, import order
# make bench   quick versions of the benchmarks

PYTHON ?= python3
JOBS   ?= 2
PIP_ARGS ?=

BIN   := .venv/bin
STAMP := .venv/.installed

# One thread per process: the tests run in parallel, and sums do not depend on the machine.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1

.PHONY: setup demo test test-slow lint format bench clean
.DEFAULT_GOAL := setup

setup: $(STAMP)

# torch first and pinned: an open range could fetch another, much larger build.
$(STAMP): pyproject.toml constraints.txt
	@echo "Installing into .venv, once: about two minutes"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable '.[all,dev]'
	touch $@

demo: setup
	$(BIN)/nwidth demo

test: setup
	$(ONE_THREAD) $(BIN)/python -m pytest -q -n $(JOBS) -m "not slow"

test-slow: setup
	$(ONE_THREAD) $(BIN)/python -m pytest -q -n $(JOBS) -m slow --durations=15

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	set -e; for script in benchmarks/[!_]*.py; do echo "== $$script"; $(BIN)/python $$script --quick; done

clean:
	rm -rf build dist .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
