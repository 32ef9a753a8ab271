# Two commands do all: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/sh
PY := .venv/bin/python
RUN := infra/environment/prepare.sh run
DEV := infra/environment/prepare.sh dev


.DEFAULT_GOAL := help
.PHONY: help run demo check doctor test test-services lint format lock bench clean clean-all

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## make the demo's data if there is none, then run the pipeline (ARGS="--as-of 2025-05-01")
	@$(RUN)
	@$(PY) -m pipeline demo --if-missing
	@$(PY) -m pipeline run $(ARGS)

demo: ## make the demo plant's data anew (ARGS="--machines 200")
	@$(RUN)
	@$(PY) -m pipeline demo $(ARGS)

check: ## validate settings.yaml and try each source
	@$(RUN)
	@$(PY) -m pipeline check

doctor: ## say what this machine has and lacks
	@$(RUN)
	@$(PY) -m pipeline doctor

test: ## run every test that needs only PyPI (ARGS="-k sensor")
	@$(DEV)
	@$(PY) -m pytest -m "not services" $(ARGS)

test-services: ## install MariaDB from Debian's packages and run the tests that need it
	@$(DEV)
	@infra/environment/install_services.sh
	@$(PY) -m pytest -m services $(ARGS)

lint: ## ruff and mypy
	@$(DEV)
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy

format: ## let ruff mend what it can
	@$(DEV)
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

bench: ## measure every claim of speed beside a peer; results go to benchmarks/results (ARGS="--quick")
	@$(DEV)
	@$(PY) -m benchmarks $(ARGS)

lock: ## compile the hashed locks in requirements/ (ARGS=--upgrade for newer versions)
	@$(RUN)
	@requirements/compile.sh $(ARGS)

clean: ## delete what runs made (var/)
	rm -rf var build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

clean-all: clean ## that, and the virtual environment
	rm -rf .venv .tools
