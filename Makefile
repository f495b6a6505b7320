# Everything a person or the CI does with a checkout. Needs Python 3.11 or newer with pip and venv, and nothing else.
#
#   make PYTHON=/path/to/python   another interpreter than the first suitable one on PATH
#   make run PORT=8001            another address; DATABASE_URL=... another database
#   make test ARGS="-k lock -x"   more arguments for pytest

VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
ARGS ?=
UPGRADE ?=

# Executed, not looked up: a version manager's shim can stand on PATH and still start nothing. CREATE is `python -m venv`
# without its traceback on Ctrl-C.
CANDIDATES := $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
CREATE := import signal, venv; signal.signal(signal.SIGINT, signal.SIG_DFL); venv.main()
WANTED := Python 3.11 or newer with venv and ensurepip (Debian, Ubuntu: apt-get install python3 python3-venv)

INSTALL := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input install --require-hashes
LOCK := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

.NOTPARALLEL:
.PHONY: help run test test-fast test-faults gate lint docs wheel-check lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/run.stamp ## Migrate the database, then serve the API on HOST:PORT
	$(BIN)/python -m tbcv migrate upgrade
	$(BIN)/python main.py --mode api --host $(HOST) --port $(PORT)

test: $(VENV)/dev.stamp ## Run every test, on SQLite and on PostgreSQL
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

test-fast: $(VENV)/dev.stamp ## Run the unit tests only, which touch no database
	$(BIN)/python -m pytest -q tests/unit $(ARGS)

test-faults: $(VENV)/dev.stamp ## Kill, race and corrupt at every point, not at some, and print what was found
	TBCV_FAULTS=all $(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup tests/faults tests/migrations/test_adoption.py $(ARGS)

gate: $(VENV)/dev.stamp ## Say what the change does to the schema, against where the branch left main
	$(BIN)/python -m tbcv migrate check $(ARGS)

lint: $(VENV)/dev.stamp ## Check style, format and types
	$(BIN)/python -m ruff check . .ci/wheel-check
	$(BIN)/python -m ruff format --check . .ci/wheel-check
	$(BIN)/python -m mypy

docs: $(VENV)/run.stamp ## Write the generated parts of docs/ anew
	$(BIN)/python docs/generate.py

wheel-check: $(VENV)/dev.stamp ## Build the wheel and use it away from the checkout
	$(BIN)/python .ci/wheel-check

lock: ## Write locks/*.txt anew, keeping versions where possible; UPGRADE=1 takes the newest
	@command -v uv >/dev/null || { echo "make lock needs uv on PATH (pip install uv); no other target does." >&2; exit 1; }
	$(LOCK) --extra api --extra gate --group test --group lint --output-file locks/dev.txt
	$(LOCK) --extra api --constraint locks/dev.txt --output-file locks/run.txt

clean: ## Remove the environment, caches and build results; data/ stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew when it was left half-made or when its interpreter has gone. The checkout is put on its path instead of being
# built into it: a start needs no build tool and no edit is ever stale. Relative, so that the checkout can be moved.
$(VENV)/made.stamp: $(BIN)/python
	@for candidate in $(CANDIDATES); do \
		if "$$candidate" -c '$(SUITABLE)' >/dev/null 2>&1; then \
			echo "$$candidate -m venv $(VENV)"; \
			exec "$$candidate" -c '$(CREATE)' --clear $(VENV); \
		fi; \
	done; \
	echo "None of these is $(WANTED): $(CANDIDATES)" >&2; exit 1
	@$(BIN)/python -c 'import os, pathlib, sysconfig; site = sysconfig.get_path("purelib"); \
		pathlib.Path(site, "tbcv.pth").write_text(os.path.relpath(".", site) + "\n")'
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m tbcv "$$@"\n' > $(BIN)/tbcv
	@chmod +x $(BIN)/tbcv
	@touch $@

# No recipe: make takes a missing file as just changed.
$(BIN)/python:

$(VENV)/run.stamp: locks/run.txt $(VENV)/made.stamp
	$(INSTALL) -r locks/run.txt
	@touch $@

# dev.txt holds all of run.txt in the same versions.
$(VENV)/dev.stamp: locks/dev.txt locks/run.txt $(VENV)/made.stamp
	$(INSTALL) -r locks/dev.txt
	@touch $(VENV)/run.stamp $@
