# Privity's tasks. Nothing is needed before them but Python 3.11 to 3.14, git and make.

SERVED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))
# The first interpreter that is served; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c '$(SERVED)' >/dev/null 2>&1 && { echo $$p; break; }; done)

BIN := .venv/bin
STAMP := .venv/.installed
ROOMS := privity domain handlers projections infra $(wildcard app.py)
CODE := $(ROOMS) $(wildcard bench) docs examples tests

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test trials soak check format bench schema docs lock clean

help:
	@echo "make install   make .venv, with .venv/bin/privity"
	@echo "make demo      watch Alice and Bob share an item, on real parts"
	@echo "make test      run the tests"
	@echo "make trials    run the slow trials of faults and load"
	@echo "make soak      run the long trials, half an hour of them"
	@echo "make check     format, lint, types and import rules"
	@echo "make format    format the code"
	@echo "make bench     measure, beside the floors of this machine"
	@echo "make schema    write docs/asyncapi.json anew: the contract changed"
	@echo "make docs      build the pages into site/"
	@echo "make lock      resolve requirements.lock anew"
	@echo "make clean     remove what the tasks made"

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && "$(PYTHON)" -c '$(SERVED)' || { \
		echo "error: Python 3.11 to 3.14 is needed; name one with make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(BIN)/python -c 'import pip' 2>/dev/null || { echo "making .venv, once"; "$(PYTHON)" -m venv --clear .venv; }
	@$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	@$(BIN)/privity demo

test: $(STAMP)
	@$(BIN)/pytest -q -n 2 --dist loadfile

trials: $(STAMP)
	@$(BIN)/pytest -q -m "trial and not soak" -n 2 --dist loadfile

soak: $(STAMP)
	@$(BIN)/pytest -q -m soak
	@$(BIN)/pytest -q --hypothesis-profile random tests/crypto tests/domain tests/fuzz tests/messages

check: $(STAMP)
	@$(BIN)/ruff format --check --quiet --output-format concise $(CODE) || { echo "error: not formatted; make format does it" >&2; exit 1; }
	@$(BIN)/ruff check --quiet --output-format concise $(CODE)
	@$(BIN)/mypy --strict --no-error-summary $(ROOMS)
	@$(BIN)/lint-imports --no-logo

format: $(STAMP)
	@$(BIN)/ruff format --quiet $(CODE)
	@$(BIN)/ruff check --quiet --fix $(CODE)

bench: $(STAMP)
	@$(BIN)/privity bench

schema: $(STAMP)
	@$(BIN)/privity schema --out docs/asyncapi.json

docs: $(STAMP)
	@$(BIN)/sphinx-build --quiet --fail-on-warning -b html -d .venv/.doctrees docs site

# Run it on the oldest Python served: newer ones need a subset of what it locks.
lock:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "error: resolve on the oldest Python served: make lock PYTHON=python3.11" >&2; exit 1; }
	@test -x .venv/lock/bin/pip-compile || { "$(PYTHON)" -m venv --clear .venv/lock; \
		.venv/lock/bin/pip install --quiet pip-tools==7.6.2; }
	@CUSTOM_COMPILE_COMMAND="make lock" .venv/lock/bin/pip-compile --quiet --upgrade --generate-hashes \
		--strip-extras --no-emit-options --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--extra server --extra dev --extra docs --output-file requirements.lock pyproject.toml

clean:
	@rm -rf .venv dist site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
