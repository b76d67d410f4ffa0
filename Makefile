# Every command sets up what it needs in .venv, and does it again only when requirements/ or pyproject.toml changed.
# Another Python: make PYTHON=python3.13 …     Fewer test processes: make JOBS=0 test

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CODE := src tests tools bench
WEB := src/tachograph/web
VENDOR := $(WEB)/static/vendor
BENCHMARKS := $(filter-out __init__,$(patsubst bench/%.py,%,$(wildcard bench/*.py)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo assets test check fmt format lint types imports docs screenshots lock bench clean

help: ## what there is to run
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 16

demo: $(VENV)/run.done $(VENV)/assets.done ## a small support desk: a hand-off, a delegation, a loop given to a person, a killed run that goes on
	$(BIN)/tachograph demo

assets: | $(BIN)/python ## fetch the libraries of the pages from npm; without it the pages do without
	$(BIN)/python tools/assets.py --stamp $(VENV)/assets.done

test: $(VENV)/check.done $(VENV)/assets.done ## all tests
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

check: format lint types imports test ## format, lint, types, imports, tests: what must pass

fmt: $(VENV)/check.done ## rewrite the code in the one format, and mend what can be mended without a thought
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

format: $(VENV)/check.done
	$(BIN)/ruff format --check $(CODE)

lint: $(VENV)/check.done
	$(BIN)/ruff check $(CODE)

types: $(VENV)/check.done
	$(BIN)/mypy $(CODE)

imports: $(VENV)/check.done
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/check.done ## write the generated parts of the documents again
	$(BIN)/python tools/docs.py

screenshots: $(VENV)/check.done $(VENV)/assets.done ## take the pictures of the pages for the README again, of the demo's records
	$(BIN)/python tools/screenshots.py

lock: $(VENV)/run.done ## pin the newest versions in requirements/
	$(BIN)/python tools/lock.py

bench: $(VENV)/bench.done ## the benchmarks, ours and the peers' from one run
	@set -e; for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m bench.$$name; done

clean: ## remove .venv and everything the tools left behind
	rm -rf $(VENV) $(VENDOR) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .cache

# --- set-up ---

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "tachograph needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing)." >&2; \
	  echo "Name another one: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/run.done: requirements/run.txt pyproject.toml | $(BIN)/python
	$(PIP) install -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Not stamped where nothing could be fetched: the next command tries again.
$(VENV)/assets.done: $(WEB)/assets.toml tools/assets.py | $(BIN)/python
	@$(BIN)/python tools/assets.py --stamp $@

$(VENV)/check.done: requirements/check.txt $(VENV)/run.done
	$(PIP) install -r requirements/check.txt
	@touch $@

$(VENV)/bench.done: requirements/bench.txt $(VENV)/run.done
	$(PIP) install -r requirements/bench.txt
	@touch $@
