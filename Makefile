# SPDX-License-Identifier: GPL-3.0-or-later
# Each target does one thing a person may want to do. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
LAB_PROFILE ?= clean
PYTEST_WORKERS ?= 2
# A lab mostly waits, for soaks, starts and drains: one more than there are processors.
LAB_WORKERS ?= $(shell echo $$(($$(nproc) + 1)))
export LAB_PROFILE
# Into a pipe or a log, too, a line appears when it is said.
export PYTHONUNBUFFERED := 1

# All tools come from the virtual environment, and find the collection through its link.
export PATH := $(abspath $(VENV))/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/collections:$(CURDIR)/tests
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/collections
export MYPYPATH := $(CURDIR)/collections

.DEFAULT_GOAL := help
.PHONY: help migrate lab-up lab-down test test-e2e lint lint-python lint-types lint-ansible lint-docs format \
  sanity unit integration integration-further e2e molecule chaos chaos-data chaos-archive chaos-rollout chaos-alone test-prisma \
  prisma test-compose compose test-kubernetes programs kubernetes test-vercel vercel bench-data \
  bench-backup bench-rollout docs build clean

help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 16

## To run

migrate: $(VENV)/run.stamp ## Bring up the lab, put load on it, migrate it, say what happened.
	python -m lab migrate

lab-up: $(VENV)/run.stamp ## Bring up the lab and leave it running.
	python -m lab up

lab-down: $(VENV)/run.stamp ## Take the lab down; nothing stays behind.
	python -m lab down

## To check

test: $(VENV)/test.stamp ## Everything that must hold before a change lands: at most 15 minutes on two cores.
	python -m check.run lint+sanity+unit integration e2e

lint: lint-python lint-types lint-ansible lint-docs ## Style, types, playbooks and roles, documentation.

lint-python: $(VENV)/test.stamp
	ruff check . && ruff format --check .

lint-types: $(VENV)/test.stamp
	mypy -p ansible_collections.emailai.migration.plugins
	MYPYPATH=$(PYTHONPATH) mypy -p check -p lab -p bench -p chaos -p compose -p cluster -p vercel_world

lint-ansible: $(VENV)/test.stamp
	yamllint --strict . && ansible-lint

lint-docs: $(VENV)/test.stamp
	antsibull-changelog lint && python -m check.documents

format: $(VENV)/test.stamp ## Let ruff lay out the Python files.
	ruff check --fix . ; ruff format .

sanity: $(VENV)/test.stamp ## Ansible's own sanity tests, without an ignore file, on this Python and on 3.9 where there is one.
	python -m check.sanity

unit: $(VENV)/test.stamp ## What thinks: no server, no network.
	pytest -n $(PYTEST_WORKERS) tests/unit

integration: $(VENV)/test.stamp ## What touches the world: modules against real servers.
	pytest -n $(PYTEST_WORKERS) --dist loadfile -m "not further" tests/integration

integration-further: $(VENV)/test.stamp
	pytest -n $(PYTEST_WORKERS) --dist loadfile -m further tests/integration

e2e: $(VENV)/test.stamp ## One migration under traffic with its check run and its repeat, one bad release.
	pytest -m always tests/e2e

test-e2e: $(VENV)/test.stamp ## The rest of the end-to-end matrix.
	pytest -n $(LAB_WORKERS) --dist loadfile -m "not always" tests/e2e

chaos: $(VENV)/test.stamp ## Faults at every statement, two operators at once, poolers, rollouts under load, who waits for us.
	python -m check.run integration-further chaos-data chaos-archive chaos-rollout chaos-alone

chaos-data: $(VENV)/test.stamp
	pytest -n $(PYTEST_WORKERS) --dist loadfile tests/chaos/data

chaos-archive: $(VENV)/test.stamp
	pytest -n $(PYTEST_WORKERS) --dist loadfile tests/chaos/archive

chaos-rollout: $(VENV)/test.stamp
	pytest tests/chaos/rollout

# Its waits are measured: a neighbour would be in them.
chaos-alone: $(VENV)/test.stamp
	pytest tests/chaos/alone

test-compose: $(VENV)/test.stamp ## The platform compose: Docker Engine, a registry, a mixed fleet there and back under load.
	python -m check.run compose

compose: $(VENV)/test.stamp
	pytest -n $(PYTEST_WORKERS) --dist loadfile tests/compose

molecule: $(VENV)/test.stamp ## One scenario a role, on the lab.
	python -m check.molecule

test-kubernetes: $(VENV)/test.stamp ## The platform kubernetes: a real control plane, built here once a machine.
	python -m check.run programs kubernetes

programs: $(VENV)/test.stamp
	python -m lab.cluster_programs

kubernetes: $(VENV)/test.stamp
	pytest tests/cluster

test-vercel: $(VENV)/test.stamp ## The platform vercel: every failure of its API, lost answers, stages, the way back.
	python -m check.run vercel

# They wait more than they work.
vercel: $(VENV)/test.stamp
	pytest -n 4 --dist worksteal tests/vercel_world

test-prisma: $(VENV)/test.stamp ## Strategy prisma: a real Prisma on a real PostgreSQL.
	python -m check.run prisma

prisma: $(VENV)/test.stamp
	pytest -n $(PYTEST_WORKERS) tests/prisma

## To measure

bench-data: $(VENV)/run.stamp ## The data step beside the server's own floor and a loop over users; USERS= and ROUNDS= scale it.
	python -m bench.data

bench-backup: $(VENV)/run.stamp ## Backup, proof and swap beside their floors and the runbook's pipeline; SIZE= (MiB) and ROUNDS= scale it.
	python -m bench.backup

bench-rollout: $(VENV)/run.stamp ## Rollouts beside the bare steps, under many users, of a large fleet; ROUNDS=, REQUESTS=, RATE= and HOSTS= scale it.
	python -m bench.rollout

## To build

docs: $(VENV)/test.stamp ## Write the documentation of modules and roles to .cache/docs.
	python -m check.documents --write .cache/docs

build: $(VENV)/test.stamp ## Build the collection's archive into .cache.
	ansible-galaxy collection build --force --output-path .cache "$$(python -m check.export)"

clean: lab-down ## Forget the caches and the virtual environment.
	rm -rf .cache $(VENV)

# A stamp is newer than the requirements it was made from.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt requirements-lab.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet -r requirements-lab.txt
	@touch $@

$(VENV)/test.stamp: requirements-test.txt requirements-kubernetes.txt $(VENV)/run.stamp
	$(VENV)/bin/python -m pip install --quiet -r requirements-test.txt
	@touch $@
