# Two commands for a newcomer: `make up` and `make test`. Everything else serves a developer.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
UV := .uv/bin/uv
PY := .venv/bin/python
UI := $(shell find ui -name node_modules -prune -o -type f -print)
SITE := src/tachograph/web/site
RUST := $(shell find tap -name '*.rs')
# What the hook makes of them, where there are any.
TAP := $(if $(wildcard tap/src/lib.rs),src/tachograph/capture/gateway/libtachograph_tap.so)
export UV_NO_PROGRESS := 1
export UV_PYTHON_DOWNLOADS := never
# The certificates that the system trusts, so that it works behind a proxy of the company too.
export UV_SYSTEM_CERTS := true

.PHONY: help up demo test test-long check format lint types contract docs ui ui-check lock bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(UV):
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 is older than 3.11: install Python 3.11 or newer"; exit 2; }
	python3 -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: $(UV) requirements.lock
	test -x $(PY) || $(UV) venv --quiet --python python3 .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(PY) --require-hashes requirements.lock
	touch $@

# The package itself; its build makes the screens anew where a file of ui/ has changed, and the tap where one of tap/ has.
# Without a rustc it is ready but for the gateway, and asks for one again the next time.
.venv/.ready: .venv/.synced pyproject.toml hatch_build.py tap/build.py $(UI) $(RUST)
	$(UV) pip install --quiet --python $(PY) --no-deps --editable .
	@$(if $(TAP),test -e $(TAP) || { $(PY) -c 'from tap import build; print(build.MISSING)'; exit 0; };) touch $@

up: .venv/.ready ## set everything up and run it: screens and API on http://127.0.0.1:4180
	.venv/bin/tachograph up --with examples/recordings

demo: .venv/.ready ## a day of lively traffic in four minutes, on http://127.0.0.1:4180
	.venv/bin/tachograph demo

# Files in the order of their names: xdist would begin with those of most tests, and end with the few that take minutes.
PYTEST = $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test: .venv/.ready ## set everything up and pass the tests
	$(PYTEST)

test-long: .venv/.ready ## the tests that take minutes: fuzzing, kill -9, real servers
	$(PYTEST) -m long

check: format lint types contract docs ui-check test ## everything that must hold before a commit

format: .venv/.ready ## formatting
	.venv/bin/ruff format --check .
	$(if $(RUST),@for each in $$(type -ap rustfmt); do $$each --version &>/dev/null || continue; $$each --check $(RUST); break; done)

lint: .venv/.ready ## style
	.venv/bin/ruff check .

types: .venv/.ready ## types
	.venv/bin/mypy

contract: .venv/.ready ## the import contract
	.venv/bin/lint-imports

docs: .venv/.ready ## the reference pages are what the code says
	$(PY) -m docs.generate --check

ui: .venv/.synced ## build the screens anew
	rm -rf $(SITE)
	$(UV) pip install --quiet --python $(PY) --no-deps --editable .

ui-check: .venv/.ready ## types and unit tests of the screens
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20.19 or newer"; exit 2; }
	test ui/node_modules/.package-lock.json -nt ui/package-lock.json || npm --prefix ui ci
	npm --prefix ui run --silent types
	npm --prefix ui run --silent test

lock: $(UV) ## pin the dependencies anew
	$(UV) pip compile --quiet --universal --python-version 3.11 --extra server --group dev --generate-hashes --no-emit-index-url --no-header --upgrade pyproject.toml -o requirements.lock

bench: .venv/.ready ## every figure of the README
	$(PY) -m benchmarks.wire
	$(PY) -m benchmarks.pricing
	$(PY) -m benchmarks.store
	$(PY) -m benchmarks.screens
	$(PY) -m benchmarks.collector
	$(PY) -m benchmarks.gateway
	$(PY) -m benchmarks.outlets
	$(PY) -m benchmarks.sdk

clean: ## forget everything that was set up or built
	rm -rf .venv .uv dist $(SITE) src/tachograph/capture/gateway/libtachograph_tap.so* ui/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/.data
