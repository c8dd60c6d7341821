# The only words for working here: demo, up, servers, test, check, bench, chaos, lock, clean.
# Needs Python >= 3.11 and make; everything else is installed into .venv, at the versions and hashes of the lock files.

.DELETE_ON_ERROR:
SHELL := /bin/sh
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --no-input
PACKAGES := oscar_events ingest/oscar_ingest dispatcher/oscar_dispatcher supervisor/oscar_supervisor

.PHONY: demo up servers test check bench chaos lock clean
demo: .venv/base
	@$(BIN)/oscar-events demo $(ARGS)

up: .venv/base
	@$(BIN)/oscar-events up $(ARGS)

# A broker, a database and a store to try a cluster with, and a config.yaml that names them: make servers DIR=~/cluster
servers: .venv/dev
	@test -n "$(DIR)" || { echo "name a directory to be made: make servers DIR=~/cluster" >&2; exit 2; }
	@$(BIN)/python -m tests.testbed $(DIR)

# In two processes, each with servers of its own: one alone waits half of its time for something to be killed, or back.
test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not benchmark and not long_chaos" $(ARGS)

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/check_layout.py $(PACKAGES)

bench: .venv/dev
	$(BIN)/python -m pytest -m benchmark -s tests/benchmarks $(ARGS)

# Of a laptop's platform, then of a cluster's: N uploads, troubles decided by SEED; its last line is the verdict.
chaos: .venv/dev
	$(BIN)/python -m pytest -m long_chaos -s tests/chaos $(ARGS)
	$(BIN)/python -m tests.chaos.cluster.long $(if $(N),--events $(N)) $(if $(SEED),--seed $(SEED))

# Writes both lock files anew; needs uv (pip install uv).
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" pyproject.toml --group build -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" pyproject.toml --extra all --group dev -o requirements-dev.lock

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/python:
	@test -n "$(PYTHON)" || { echo "oscar-events needs Python 3.11 or newer; none was found on PATH" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "this Python cannot make environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

.venv/base: .venv/python requirements.lock pyproject.toml
	@echo "installing oscar-events into .venv ..."
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/base requirements-dev.lock
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
