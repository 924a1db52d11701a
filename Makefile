PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
THREADS ?= 2
PYTEST_FLAGS ?=

.PHONY: demo test test-all coverage mutants bench lint page clean

demo: $(VENV)/.installed
	$(BIN)/cipherpress demo --threads 1  # small networks: a second thread waits more than it works

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n $(THREADS) $(PYTEST_FLAGS)

test-all: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n $(THREADS) -m "slow or not slow" $(PYTEST_FLAGS)

coverage: $(VENV)/.installed-dev  # it sees neither kernels that numba compiles nor child processes
	$(BIN)/python -m pytest -q -n $(THREADS) --cov --cov-report=term $(PYTEST_FLAGS)

mutants: $(VENV)/.installed-dev
	$(BIN)/python tests/mutants/runner.py

bench: $(VENV)/.installed-dev
	$(BIN)/cipherpress bench -o benchmarks/results --force

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

page:  # the browser's arithmetic, after a change of its source; needs clang and lld
	clang --target=wasm32 -O3 -nostdlib -Wall -Wextra -Werror -Wl,--no-entry -Wl,--strip-all -mbulk-memory -msimd128 \
		-o cipherpress/service/page/core/core.wasm cipherpress/service/page/core/core.c

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info
