# `make help` lists every target. Everything is installed into .venv; uv is used where it is present.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)

ifeq ($(UV),)
  MAKE_VENV := $(PYTHON) -m venv $(VENV)
  INSTALL   := $(BIN)/python -m pip install --quiet --disable-pip-version-check
  MAKE_MINISTACK_VENV := $(BIN)/python -m venv $(VENV)/ministack
  INSTALL_MINISTACK   := $(VENV)/ministack/bin/python -m pip install --quiet --disable-pip-version-check
else
  MAKE_VENV := $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
  INSTALL   := $(UV) pip install --quiet --python $(BIN)/python
  MAKE_MINISTACK_VENV := $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)/ministack
  INSTALL_MINISTACK   := $(UV) pip install --quiet --python $(VENV)/ministack/bin/python
endif

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo run plan test check format lint types ablation bench bench-cache bench-quota bench-resume bench-scheduler bench-durability bench-discovery bench-sinks memory simulate simulate-long soak torture clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "batchrun needs Python 3.11 or newer; set PYTHON=")'
	@$(MAKE_VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.installed

# A server for tests, in an environment of its own: it pins another botocore than aioboto3 does.
$(VENV)/ministack/.installed: Makefile | $(BIN)/python
	@$(MAKE_MINISTACK_VENV)
	@$(INSTALL_MINISTACK) 'ministack>=1.5.33,<2'
	@touch $@

install: $(VENV)/.installed ## install batchrun into .venv

install-dev: $(VENV)/.installed-dev $(VENV)/ministack/.installed ## install batchrun with what its tests need

jobs/data/docstrings.parquet: jobs/docstrings.py | $(VENV)/.installed
	@$(BIN)/python jobs/docstrings.py $@

demo: install jobs/data/docstrings.parquet ## run the main job over real text on the built-in emulator
	$(BIN)/batchrun run jobs/demo.toml
	$(BIN)/batchrun verify jobs/demo.toml

run: install ## run a job: make run JOB=jobs/classify.toml
	$(BIN)/batchrun run $(or $(JOB),$(error say which job: make run JOB=path/to/job.toml))

plan: install ## show what a job would do and cost: make plan JOB=jobs/classify.toml
	$(BIN)/batchrun plan $(or $(JOB),$(error say which job: make plan JOB=path/to/job.toml))

test: install-dev ## run the tests
	$(BIN)/python -m pytest

format: install-dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: install-dev ## check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install-dev ## check types, strictly
	$(BIN)/mypy

check: lint types test ## the only gate: format, lint, types, tests

bench-cache: install-dev ## compare jobs with and without prompt caching on the emulator's books, about half a minute
	$(BIN)/python -m tests.bench_cache

bench: install-dev ## compare a bare aioboto3 loop and batchrun on the same loopback server
	$(BIN)/python -m tests.bench

memory: install-dev ## measure the peak memory of long runs, of a huge row group and of long answers
	$(BIN)/python -m tests.memory

soak: install-dev ## watch files, tasks and memory over 500,000 rows under 5 % chaos, about half an hour
	$(BIN)/python -m tests.soak

ablation: install-dev ## leave out one part of the quota controller after the other, and simulate; about 12 minutes
	$(BIN)/python -m tests.ablation

bench-quota: install-dev ## compare batchrun and usual retry loops at tight quotas over real HTTP, about 10 minutes
	$(BIN)/python -m tests.bench_quota

bench-durability: install-dev ## measure the log, output to S3 beside a folder, and the start of a resume
	$(BIN)/python -m tests.bench_durability

bench-discovery: install-dev ## measure what reading quotas and profiles adds to the start of a run
	$(BIN)/python -m tests.bench_discovery

bench-scheduler: install-dev ## measure the scheduler's own CPU per row with 25 lanes, at 10,000 and at 1,000,000 rows
	$(BIN)/python -m tests.bench_scheduler

bench-sinks: install-dev ## compare runs without a sink and with one of each kind
	$(BIN)/python -m tests.bench_sinks

bench-resume: install-dev ## measure resumes over 100,000 objects of a store and over 10 GB of JSON Lines, about 20 minutes
	$(BIN)/python -m tests.bench_resume

simulate: install-dev ## simulate the quota cases over meters, round trips and lanes, on a virtual clock
	$(BIN)/python -m tests.simulate

simulate-long: install-dev ## simulate a day of quota on 25 lanes, 10,000,000 requests, in two halves
	$(BIN)/python -m tests.simulate --case day --meter 'bucket 10 s' --rtt 50

torture: install-dev ## kill runs 1,000 times with SIGKILL and hold what is left against the books, about 8 minutes
	$(BIN)/python -m pytest -m torture tests/torture
	$(BIN)/python -m tests.torture --kills 1000

clean: ## remove what builds and runs left here, but no results
	rm -rf .venv build dist *.egg-info .hypothesis .pytest_cache .mypy_cache .ruff_cache
