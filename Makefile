# Every command of the project. `make` alone lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

PYTHON ?= python3
PORT ?= 5001
BIN := .venv/bin
# Modules are run through the interpreter: the scripts pip writes carry an absolute path and break in a moved folder.
RUN := $(BIN)/python -m
MANAGE := $(BIN)/python manage.py

PYTEST := $(RUN) pytest
PYTEST_ARGS ?=
SUITE = $(PYTEST) -n 2 --dist worksteal $(PYTEST_ARGS)
LOCAL_POSTGRES := postgresql://postgres@127.0.0.1:5432/cronsched_tests
LOCAL_MARIADB := mysql://root@127.0.0.1:3306/cronsched_tests

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: run
run: ## install, prepare the database and start web and scheduler (PORT=5001)
	@PYTHON="$(PYTHON)" scripts/install requirements.txt
	@PORT="$(PORT)" exec scripts/run

.PHONY: demo
demo: ## serve a demo with 30 days of history on a database of its own (PORT=5001)
	@PYTHON="$(PYTHON)" scripts/install requirements.txt
	@PORT="$(PORT)" exec scripts/demo

# --- Tests -----------------------------------------------------------------------------------------------------------

.PHONY: install-dev
install-dev:
	@PYTHON="$(PYTHON)" scripts/install requirements-dev.txt

.PHONY: test
test: install-dev ## install what the tests need and run all tests that are not slow
	$(SUITE)

.PHONY: test-slow
test-slow: install-dev ## run what drives a browser, kills real processes or waits for real clocks
	@scripts/install-browser
	$(SUITE) -m "(slow or browser) and not (benchmark or chaos or fuzz)"

.PHONY: pictures
pictures: ## do the console's everyday tasks in a browser; write their ways and pictures to docs/
	@PYTHON="$(PYTHON)" scripts/install requirements-bench.txt
	@scripts/install-browser
	PICTURES=1 $(PYTEST) -n 0 -m slow cronsched/tests/console/test_tasks.py $(PYTEST_ARGS)

.PHONY: test-postgres
test-postgres: install-dev ## run the suite on PostgreSQL (TEST_POSTGRES_URL)
	DATABASE_URL="$${TEST_POSTGRES_URL:-$(LOCAL_POSTGRES)}" $(SUITE)

.PHONY: test-mariadb
test-mariadb: install-dev ## run the suite on MariaDB or MySQL (TEST_MARIADB_URL)
	DATABASE_URL="$${TEST_MARIADB_URL:-$(LOCAL_MARIADB)}" $(SUITE)

.PHONY: bench
bench: ## measure and print tables (PYTEST_ARGS="-k herd" for a part)
	@PYTHON="$(PYTHON)" scripts/install requirements-bench.txt
	$(PYTEST) -n 0 -p no:randomly --timeout 0 -s -m benchmark $(PYTEST_ARGS)

.PHONY: chaos
chaos: install-dev ## kill, freeze and starve real processes (CHAOS_DATABASE=sqlite CHAOS_MINUTES=10 CHAOS_SEED=1)
	$(PYTEST) -n 0 --timeout 0 -m chaos $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: install-dev ## send generated input for some minutes
	$(PYTEST) -n 2 --timeout 0 -m fuzz $(PYTEST_ARGS)

# --- Checks ----------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: install-dev ## ruff: rules and format
	$(RUN) ruff check .
	$(RUN) ruff format --check .

.PHONY: format
format: install-dev ## let ruff rewrite what it can
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

.PHONY: types
types: install-dev ## mypy with the Django plugins
	DEBUG=true $(RUN) mypy

.PHONY: check
check: install-dev ## missing migrations, and Django's checks under production settings
	@scripts/check

.PHONY: openapi
openapi: install-dev ## write docs/openapi.yaml and docs/postman.json
	@scripts/openapi docs/openapi.yaml

.PHONY: coverage
coverage: install-dev ## run the suite and list the lines it never reached
	$(SUITE) --cov --cov-report=term

# --- Upkeep ----------------------------------------------------------------------------------------------------------

.PHONY: lock
lock: ## resolve requirements*.in again
	@scripts/lock

.PHONY: configuration
configuration: install-dev ## write docs/configuration.md from .env.example
	DEBUG=true $(MANAGE) configuration

.PHONY: sbom
sbom: ## write what a deployment consists of to sbom.cdx.json (CycloneDX)
	@PYTHON="$(PYTHON)" scripts/sbom sbom.cdx.json

.PHONY: clean
clean: ## remove what the tools leave behind; keeps .env, the database and .venv
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov staticfiles
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
