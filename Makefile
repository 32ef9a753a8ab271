# Two commands do all: `make run` and `make test`. `make help` lists the rest.
# TFX=1.16 uses that stack, in an environment of its own, instead of the newest that this machine can load.
SHELL := /bin/sh
export TFX PYTHON
PY := .venv$(addprefix -,$(TFX))/bin/python
RUN := infra/environment/prepare.sh run
DEV := infra/environment/prepare.sh dev


.DEFAULT_GOAL := help
.PHONY: help run demo check doctor test test-services test-1.21 smoke-1.21 walk image image-try compile submit gate promote ui lint format lock audit notebooks bench clean clean-all

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

# Test files at a time; one of them may hold 1.5 GB.
JOBS ?= 2
test: ## run every test that needs only PyPI (ARGS="-k sensor", JOBS=4)
	@$(DEV)
	@$(PY) -m pytest -m "not services" -n $(JOBS) --dist loadfile $(ARGS)

test-services: ## install MariaDB, nginx, Prometheus and its companions, kustomize, Chromium, InfluxDB, Redis and Mosquitto from Debian's packages and run the tests that need them
	@$(DEV)
	@infra/environment/install_services.sh
	@$(PY) -m pytest -m services $(ARGS)

# Where the machine's C library is too old for TFX 1.21, these run it on a Python that brings a newer one along.
ON ?= 3.11
lane = python=$$(infra/environment/newer_libc.sh $(ON)) && TFX=1.21 PYTHON=$$python $(MAKE) --no-print-directory

test-1.21: ## the same tests on TFX 1.21 (ON=3.13 for another Python, ARGS as for test)
	@$(lane) test

smoke-1.21: ## install TFX 1.21, import it and run the pipeline on small data
	@$(lane) test ARGS="-m smoke"

walk: ## run the compiled Kubeflow package task by task, each in a process of its own (7 minutes)
	@$(DEV)
	@WALK=process $(PY) -m pytest tests/end_to_end/test_kubeflow.py $(ARGS)

lint: ## ruff and mypy
	@$(DEV)
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy

format: ## let ruff mend what it can
	@$(DEV)
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

audit: ## ask PyPI about known vulnerabilities in the locks
	@requirements/audit.sh $(ARGS)

cluster = $(PY) -m pipeline --settings $(or $(SETTINGS),infra/kubeflow/settings.yaml)

compile: ## compile the pipeline for the cluster of infra/kubeflow/settings.yaml (SETTINGS=other.yaml)
	@$(RUN)
	@$(cluster) compile $(ARGS)

submit: ## run it on that cluster and show its stages (ARGS="--as-of 2025-04-17")
	@$(RUN)
	@$(cluster) submit $(ARGS)

gate: ## end with an error unless a version was pushed since SINCE=2026-11-01T00:00:00Z
	@$(RUN)
	@$(cluster) versions --since "$(SINCE)"

promote: ## move traffic to the staged version by its metrics (ARGS="--prometheus http://prometheus:9090")
	@$(RUN)
	@$(cluster) rollout $(ARGS)

image: ## build the image that clusters run, and print its digest (ARGS="--push registry.example/plant-failures")
	@infra/image/build.sh $(ARGS)

image-try: ## build it from Debian's packages without a registry, and run the pipeline in it (root, buildah, mmdebstrap)
	@infra/image/try.sh

ui: ## show runs and versions in the browser (ARGS="--port 8081 --open")
	@$(RUN)
	@$(PY) -m pipeline ui $(ARGS)

notebooks: ## open the notebooks in JupyterLab
	@$(DEV)
	@$(PY) -m jupyter lab notebooks $(ARGS)

bench: ## measure every claim of speed beside a peer; results go to benchmarks/results (ARGS="--quick")
	@$(DEV)
	@$(PY) -m benchmarks $(ARGS)

lock: ## compile the hashed locks in requirements/ (ARGS=--upgrade for newer versions)
	@$(RUN)
	@requirements/compile.sh $(ARGS)

clean: ## delete what runs made (var/)
	rm -rf var build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

clean-all: clean ## that, and the virtual environments
	rm -rf .venv .venv-* .tools

-include template_tests/template.mk
