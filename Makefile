# Two commands for a newcomer: `make up` and `make test`. Everything else serves a developer.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
UV := .uv/bin/uv
PY := .venv/bin/python
export UV_NO_PROGRESS := 1
export UV_PYTHON_DOWNLOADS := never
# The certificates that the system trusts, so that it works behind a proxy of the company too.
export UV_SYSTEM_CERTS := true

.PHONY: help up demo test test-long check format lint types contract docs lock bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(UV):
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 is older than 3.11: install Python 3.11 or newer"; exit 2; }
	python3 -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.ready: $(UV) requirements.lock pyproject.toml
	test -x $(PY) || $(UV) venv --quiet --python python3 .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(PY) --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(PY) --no-deps --editable .
	touch $@

up: .venv/.ready ## set everything up and run it: store and API on http://127.0.0.1:4180
	.venv/bin/tachograph up --with examples/recordings

demo: .venv/.ready ## import the recordings and traces (or a generated day) and print the summary
	.venv/bin/tachograph demo

test: .venv/.ready ## set everything up and pass the tests
	$(PY) -m pytest

test-long: .venv/.ready ## the tests that take minutes: fuzzing, kill -9, real servers
	$(PY) -m pytest -m long

check: format lint types contract docs test ## everything that must hold before a commit

format: .venv/.ready ## formatting
	.venv/bin/ruff format --check .

lint: .venv/.ready ## style
	.venv/bin/ruff check .

types: .venv/.ready ## types
	.venv/bin/mypy

contract: .venv/.ready ## the import contract
	.venv/bin/lint-imports

docs: .venv/.ready ## the reference pages are what the code says
	$(PY) -m docs.generate --check

lock: $(UV) ## pin the dependencies anew
	$(UV) pip compile --quiet --universal --python-version 3.11 --extra server --group dev --generate-hashes --no-emit-index-url --no-header --upgrade pyproject.toml -o requirements.lock

bench: .venv/.ready ## every figure of the README
	$(PY) -m benchmarks.wire
	$(PY) -m benchmarks.pricing
	$(PY) -m benchmarks.store
	$(PY) -m benchmarks.collector
	$(PY) -m benchmarks.gateway
	$(PY) -m benchmarks.outlets
	$(PY) -m benchmarks.sdk

clean: ## forget everything that was set up or built
	rm -rf .venv .uv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/.data
