# Each line is a command that one could type. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
PLAYBOOK := $(BIN)/ansible-playbook -i inventories/demo
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/playbooks/collections
export ANSIBLE_FORCE_COLOR ?= 0

.PHONY: help setup demo demo-clean bench test lint unit network e2e e2e-operations pictures security soak molecule molecule-due lock

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/ready ## make the virtual environment with the pinned tools

.venv/ready: requirements.txt roles/orthanc_phi/files/orthanc_deid/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable roles/orthanc_phi/files/orthanc_deid
	touch $@

demo: setup ## deploy the whole site on this machine and take studies through it
	$(PLAYBOOK) playbooks/site.yml
	$(BIN)/python files/demo

demo-clean: setup ## remove what the demo made, and nothing else
	$(PLAYBOOK) playbooks/remove.yml -e orthanc_site_remove_data=true -e orthanc_site_remove_backups=true -e orthanc_site_remove_images=true

test: setup ## all checks and tests: lint, unit, network, end to end, a role on hosts of its own
	$(MAKE) lint
	$(MAKE) unit
	$(MAKE) network
	$(MAKE) e2e
	$(MAKE) molecule-due

lint: setup .cache/documentation/ready ## ansible-lint, yamllint, ruff, mypy, Ansible's own checks of the collection
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --offline
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/check_collection.py

.cache/documentation/ready: tests/documentation_requirements.txt
	$(PYTHON) -m venv .cache/documentation
	.cache/documentation/bin/pip install --quiet --disable-pip-version-check -r tests/documentation_requirements.txt
	touch $@

unit: setup ## unit and property tests
	tests/install_tools
	$(BIN)/pytest tests/unit tests/tables

network: setup ## real packets against the firewall's rules, in network namespaces
	tests/install_tools
	$(BIN)/pytest tests/network

e2e: setup ## tests against a site that they deploy on this machine
	tests/install_tools
	$(BIN)/pytest tests/e2e tests/pages -m "not soak and not exhausting and not operations"

security: setup ## attacks on a site that they deploy on this machine, and a table of what stopped them
	tests/install_tools
	$(BIN)/pytest tests/e2e/security tests/network

pictures: setup ## take the pictures of the pages in docs/images again
	tests/install_tools
	$(BIN)/pytest tests/tables tests/pages --pictures

e2e-operations: setup ## the operations that take long: a moment in the past, a new PostgreSQL and the way back
	tests/install_tools
	$(BIN)/pytest tests/e2e/test_operations.py

soak: setup ## break every part of a site again and again while instances flow (SOAK_MINUTES=60)
	$(BIN)/pytest tests/e2e/test_faults.py -s

molecule: setup ## the roles of the kinds on systemd hosts with their own engine; molecule/passed.json records those that pass
	for scenario in $$(ls -d molecule/*/molecule.yml | cut -d/ -f2); do $(MAKE) "molecule-$$scenario"; done

molecule-due: setup ## one scenario of those that have not passed as they are, another one with each commit
	for scenario in $$($(BIN)/python molecule/due_scenarios.py --one); do $(MAKE) "molecule-$$scenario"; done

molecule-%: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" molecule test -s "$*"
	$(BIN)/python molecule/due_scenarios.py --passed "$*"

bench: setup .cache/bench/ready ## how well and how fast identifiers are taken out, how fast a site is and is deployed, how fast crosswalk and lookup table are, beside peers: short forms
	.cache/bench/bin/python bench/deid_quality.py --short
	.cache/bench/bin/python bench/engine.py --short
	.cache/bench/bin/python bench/pipeline.py --short
	.cache/bench/bin/python bench/scale.py --short
	$(BIN)/python bench/converge.py --short
	$(BIN)/python bench/lookup_table.py --short
	$(BIN)/python bench/crosswalk.py --short

.cache/bench/ready: bench/requirements.txt roles/orthanc_phi/files/orthanc_deid/requirements.txt
	$(PYTHON) -m venv .cache/bench
	.cache/bench/bin/pip install --quiet --disable-pip-version-check -r roles/orthanc_phi/files/orthanc_deid/requirements.txt -r bench/requirements.txt
	.cache/bench/bin/pip install --quiet --disable-pip-version-check --no-deps --editable roles/orthanc_phi/files/orthanc_deid
	touch $@

lock: ## pin everything that requirements.in needs
	$(PYTHON) -m venv .cache/lock
	.cache/lock/bin/pip install --quiet pip-tools
	.cache/lock/bin/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links --output-file requirements.txt requirements.in
