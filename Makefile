# `make` lists what one can do. The only set-up: git, make, Python 3.11 or newer.
PYTHON ?= python3
UV_VERSION := 0.13.9

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
READY := .venv/.ready

# Detectors use one thread each. A stage alone, or all of them by `dvc repro`, gives the same results.
define two_at_once
dvc status --json | python -c 'import json, sys; print(*json.load(sys.stdin), sep="\n")' \
	| grep -E '^($(1))@$(PROFILE)' | xargs --no-run-if-empty --max-args=$(2) --max-procs=2 \
		sh -c 'dvc --wait-for-lock repro --single-item "$$@" || exit 1' dvc
endef

PROFILE :=

.PHONY: help install repro quick stages test format notebooks lock lab

help:  ## list what one can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## only set up: .venv with pinned packages

repro: $(READY)  ## all tables and figures of the study, into reports/ (dvc repro, with two stages at once)
	python -m iadlib.warm_kernels $(MAKE) --no-print-directory stages

quick: $(READY)  ## the same with tiny settings: a first look in about ten minutes
	python -m iadlib.warm_kernels $(MAKE) --no-print-directory stages PROFILE=quick

stages:
	dvc repro code
	$(call two_at_once,render|harder_ground|defect_sizes,1)
	$(call two_at_once,data|benchmark,6)
	$(call two_at_once,ensemble|masking,1)
	$(call two_at_once,calibration,1)
	dvc repro --glob '*@$(PROFILE)*'

test: $(READY)  ## ruff, pytest and every notebook
	ruff check .
	ruff format --check .
	nbstripout --verify notebooks/*.ipynb
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile
	pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=240 --no-header -q notebooks

lab: $(READY)  ## open the notebooks in JupyterLab
	jupyter lab notebooks

format: $(READY)  ## format code, and strip outputs from the notebooks' sources
	ruff check --fix .
	ruff format .
	nbstripout notebooks/*.ipynb

lock: $(READY)  ## pin the newest versions that pyproject.toml allows
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --upgrade --output-file requirements.lock

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed; name yours: make PYTHON=python3.12'; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	UV_COMPILE_BYTECODE=1 uv pip install --quiet --require-hashes --requirement requirements.lock
	uv pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
