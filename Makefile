# Two commands lead from a clone to a running system: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
STAMP := $(VENV)/.installed

.PHONY: help setup demo test check lint lock bench torture clean
help: ## what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## .venv from locked, hashed versions

$(BIN)/uv: $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is %d.%d: call make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@test -x $(BIN)/python || { echo "making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' $(LOCK))"
	@touch $@

$(STAMP): $(BIN)/uv $(LOCK) pyproject.toml
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(LOCK)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## a whole pose generator on this machine, watched
	@$(BIN)/posemon demo $(ARGS)

test: setup ## the test suite (under five minutes; most of it waits, so four processes share two cores)
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile $(ARGS)

check: setup ## formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## mend formatting and what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## figures, side by side with the SDK
	$(BIN)/python -m tests.benchmarks

torture: setup ## a thousand workers killed at random moments: nothing may be missing
	$(BIN)/python -m tests.torture --json docs/torture.json $(ARGS)

lock: $(BIN)/uv ## resolve the versions anew
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 --all-extras --group dev pyproject.toml -o $(LOCK) $(ARGS)

clean: ## remove what setup and the runs made
	rm -rf $(VENV) run build dist .coverage* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
