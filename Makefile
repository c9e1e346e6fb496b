# Everything a newcomer needs: `make demo` and `make test`. Both make their own environment first.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV ?= .venv
PY := $(VENV)/bin/python

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | sort

env: $(VENV)/.ready  ## make the environment from the lock file

$(VENV)/.ready: requirements-dev.lock .ci/make-env
	@.ci/make-env $(VENV) requirements-dev.lock
	@touch $@

test: env  ## run the whole test suite
	$(PY) -m pytest -n 3

lint: env  ## ruff, bandit, mypy strict, import contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/bandit --quiet -c pyproject.toml -r config models providers producer workers sandbox

AUDIT ?=
audit: env  ## known flaws in the locked packages (AUDIT=--may-be-unreachable where the network may be closed)
	$(PY) .ci/audit $(AUDIT) requirements.lock

lock:  ## renew both lock files (needs uv)
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links -q pyproject.toml --extra tracing -o requirements.lock
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links -q pyproject.toml --extra tracing --group dev -o requirements-dev.lock

bench-import: env  ## import a million rows into both databases, and read a campaign of a million while it is sent
	$(PY) -m bench.import_
	$(PY) -m bench.reads

demo: env  ## send the example campaign through four simulated providers and check every message
	@$(PY) -m producer demo

up: env  ## the same, staying up
	@$(PY) -m producer up --sandbox

SEEDS ?= 20
DB ?= both
FIRST ?= 1
JOBS ?= 1
chaos: env  ## campaigns under faults and kills, checked message by message (SEEDS=20 FIRST=1 JOBS=1 DB=both|sqlite|postgresql, SEED=n for one)
	$(PY) -m bench.chaos --db $(DB) --jobs $(JOBS) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --first $(FIRST))

bench-limits: env  ## are the limits kept and used? (about 15 minutes; ARGS="--seconds 30" for less)
	@$(PY) -m bench.limits $(ARGS)

bench-dlr: env  ## what delivery reports cost, with a million messages (about 30 minutes; ARGS="--messages 100000 --reports 50000 --drain 0" for less)
	@$(PY) -m bench.dlr $(ARGS)

bench: env  ## messages a second without limits, on both databases (about 15 minutes; ARGS="--runs 1" for less)
	@$(PY) -m bench.throughput $(ARGS)

bench-ui: env  ## the dashboard with a million messages on the move (about 10 minutes; ARGS="--messages 50000" for less)
	@$(PY) -m bench.ui $(ARGS)

screenshots: env  ## the pictures of docs/dashboard.md (needs Chromium)
	@$(PY) -m bench.screenshots
	@$(PY) -m bench.wizard_shots

.PHONY: help env test lint audit lock bench bench-import demo up chaos bench-limits bench-dlr bench-ui screenshots
