# Everything a developer needs: `make demo`, `make check`. The first call makes .venv by itself;
# a machine needs make and a Python from 3.10 to 3.13 with venv, nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The Python that .venv is made of: PYTHON=..., or the first of these that really starts (a pyenv shim may
# be on the PATH and fail) and is new enough for this package and old enough for Airflow.
PYTHON ?= python3.12 python3.13 python3.11 python3.10 python3
PYTHON_FITS := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))

# Airflow starts many processes: without bytecode each of them would compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV

# uv never fetches a Python, trusts whom the machine trusts (a company's proxy, say), and waits as long as a
# slow mirror needs. It does not read pip's configuration: where pip is pointed at another index, so is uv.
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS ?= true
export UV_HTTP_TIMEOUT ?= 180
USE_PIPS_INDEX = index=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url \
	2>/dev/null || true)}}; if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi

# Where the constraints of the release AIRFLOW are, which Airflow publishes for each Python.
CONSTRAINTS ?= https://raw.githubusercontent.com/apache/airflow/constraints-$(AIRFLOW)

# Arguments for pytest: make test ARGS="-k quote -x"
ARGS ?=

# Most tests wait for most of their time, so that more of them run at once than there are processors.
WORKERS ?= 6
PARALLEL := --numprocesses $(WORKERS) --dist worksteal

.PHONY: help demo test test-fast test-cluster screenshots clients cluster bench soak lint format types docs dist links check clean

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST))

$(STAMP): pyproject.toml
	@python=; for candidate in $(PYTHON); do \
		if "$$candidate" -c '$(PYTHON_FITS)' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "No Python from 3.10 to 3.13 with venv found (tried: $(PYTHON)). Install one (on Debian also" \
			"python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	if ! $(BIN)/python -c '$(PYTHON_FITS)' >/dev/null 2>&1; then \
		echo "Making $(VENV) with $$("$$python" --version)"; "$$python" -m venv --clear $(VENV); \
	fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(USE_PIPS_INDEX); $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --upgrade \
		--group dev --editable '.[simulator]'
	@touch $@

demo: $(STAMP) ## make a clip in a real Airflow, against the simulator; KEEP=1 leaves the UI open
	@$(BIN)/python -m tests.system.demo $(if $(filter-out 0,$(KEEP)),--keep)

.PHONY: constraints
constraints: $(STAMP) ## make a clip with the Airflow of AIRFLOW=3.1.8, installed with its constraints
	@if [ -z "$(AIRFLOW)" ]; then echo "Name a release: make constraints AIRFLOW=3.1.8" >&2; exit 1; fi
	@$(BIN)/python -m venv --clear .venv-constraints
	@$(USE_PIPS_INDEX); python=$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	$(BIN)/uv pip install --quiet --python .venv-constraints/bin/python --compile-bytecode \
		--constraint "$(CONSTRAINTS)/constraints-$$python.txt" "apache-airflow==$(AIRFLOW)" '.[simulator]'
	@.venv-constraints/bin/python -m tests.system.demo

# Where nothing is left to run in one of the two parts, pytest ends with 5; where that is so in both, so does make.
test: $(STAMP) ## run all tests but those of `make test-cluster`; ARGS="-k quote" for some
	@$(USE_PIPS_INDEX); parallel=0; serial=0; \
	$(BIN)/python -m pytest $(PARALLEL) -m "not serial" $(ARGS) || parallel=$$?; \
	$(BIN)/python -m pytest -m "serial and not cluster" $(ARGS) || serial=$$?; \
	case $$parallel$$serial in 00 | 05 | 50) ;; *) exit 1 ;; esac

test-fast: $(STAMP) ## run the tests that are not slow, in three minutes
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not serial" $(ARGS)

test-cluster: $(STAMP) ## lose machines, broker, database and store of a cluster, one after the other
	@$(USE_PIPS_INDEX); $(BIN)/python -m pytest tests/cluster $(ARGS)

screenshots: $(STAMP) ## take the pictures of docs/ui.rst and docs/examples.rst in a real Airflow
	@$(BIN)/python -m tests.ui.screenshots
	@$(BIN)/python -m tests.examples.pictures

clients: $(STAMP) ## run other clients of the API against the simulator; writes docs/clients.rst
	@$(USE_PIPS_INDEX); $(BIN)/python -m tests.clients

cluster: $(STAMP) ## run the nightly batch on Celery, PostgreSQL, Redis and S3, all on this machine; KEEP=1 leaves it up
	@$(USE_PIPS_INDEX); $(BIN)/python -m tests.cluster $(if $(filter-out 0,$(KEEP)),--keep)

bench: $(STAMP) ## measure, beside the peers; ARGS="polling downloads --save" for some
	@$(USE_PIPS_INDEX); $(BIN)/python -m benchmarks $(ARGS)

soak: $(STAMP) ## lose workers, answers and components for two hours, and count; MINUTES=5 SEED=1 for less
	@$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

lint: $(STAMP) ## check style, import directions, spelling and workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/zizmor --offline --no-progress --quiet .
	$(BIN)/lint-imports
	$(BIN)/codespell .

format: $(STAMP) ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## check the types
	$(BIN)/mypy

docs: $(STAMP) ## build the documentation into docs/_build/html; a link within it that leads nowhere is an error
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

links: $(STAMP) ## follow the links of the documentation to other sites; needs the internet
	$(BIN)/sphinx-build -b linkcheck --quiet docs docs/_build/linkcheck

# Of ten points pyroma gives eight: the package names no e-mail address.
dist: $(STAMP) ## build the sdist and the wheel into dist, and check them
	@rm -rf dist; $(USE_PIPS_INDEX); $(BIN)/uv build --quiet
	@$(BIN)/twine check --strict dist/*
	@$(BIN)/check-wheel-contents dist/*.whl
	@$(BIN)/pyroma --min 8 dist/*.tar.gz

check: lint types test docs ## everything that must pass before a commit

clean: ## remove everything that was made, .venv too
	rm -rf $(VENV) .venv-3.* .venv-clients .venv-cluster .venv-constraints .venv-swift .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis docs/_build dist demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
