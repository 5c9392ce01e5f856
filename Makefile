# `make run` and `make test` do all their set-up themselves. They need Python 3.11 or newer with venv, make and git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup run test test-fast test-needs lint format bench bench-peers autobahn fault clean

help:  ## Show what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## Make .venv and install the hub in it, with what its tests need

# Warnings: setuptools has one for whoever installs a package from its own folder.
$(STAMP): pyproject.toml setup.py hub/web/_send.c
	@$(PYTHON) -c 'import sys, venv; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

run: setup  ## Start a hub that works, with its database in this folder
	$(BIN)/hub serve

test-needs: setup
	@sh tests/needs.sh

test: test-needs lint  ## Everything: linter, types, all tests, coverage of protocol and hub/core
	$(BIN)/python -m pytest -q -n 2 --cov --cov-report=term --cov-fail-under=100

test-fast: setup  ## All but the slow tests, in three minutes
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

lint: setup  ## Formatter, linter, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup  ## Let the formatter and the linter mend what they can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## The benchmarks, alone on the machine; each prints JSON
	$(BIN)/python -m benchmarks.fanout
	$(BIN)/python -m benchmarks.insert
	$(BIN)/python -m benchmarks.log
	$(BIN)/python -m benchmarks.edge
	$(BIN)/python -m benchmarks.devices
	$(BIN)/python -m benchmarks.neighbours
	$(BIN)/python -m benchmarks.polls
	$(BIN)/python -m benchmarks.streams
	$(BIN)/python -m benchmarks.rest
	$(BIN)/python -m benchmarks.cluster

bench-peers: setup  ## The hub beside nats-server, mosquitto, Node ws, websockets and C; alone, about 7 minutes
	test -d benchmarks/peers/node/node_modules || ! command -v npm >/dev/null || npm ci --prefix benchmarks/peers/node
	$(BIN)/python -m benchmarks.peers

autobahn: setup  ## RFC 6455 by the Autobahn test suite, beside plain websockets (needs CPython 2.7: PYTHON27=...)
	$(BIN)/python -m tests.autobahn

fault: test-needs  ## Every fault of a cluster in full size, and 10 minutes of chaos (HUB_FAULT_SECONDS); half an hour
	$(BIN)/python -m tests.fault

clean:  ## Remove what was made here; the database stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .coverage
