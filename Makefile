# `make` lists what one can do. The only set-up: git, make, Python 3.11 or newer.
PYTHON ?= python3
UV_VERSION := 0.13.9

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
READY := .venv/.ready

# The quick profile runs in a copy of the working tree, so that dvc.lock and params/ stay as they are.
QUICK := .quick
AGAIN := .render
RENDERED := render harder_ground defect_sizes

.PHONY: help install repro quick cluster render test format lock lab

help:  ## list what one can do
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## only set up: .venv with pinned packages

repro: $(READY)  ## all tables and figures of the study, into reports/
	dvc repro

quick: $(READY)  ## every kind of stage once, with tiny settings: a first look in five minutes, into reports/quick/
	mkdir -p $(QUICK)/.dvc
	rm -rf $(QUICK)/data/rendered
	find $(QUICK) -mindepth 1 -maxdepth 1 ! -name data ! -name artifacts ! -name reports ! -name .dvc ! -name dvc.lock \
		-exec rm -r {} +
	git ls-files -z --cached --others --exclude-standard -- . ':!reports' ':!dvc.lock' \
		| xargs -0 cp --parents --preserve=timestamps --target-directory $(QUICK)
	cp params/quick/*.yaml $(QUICK)/params
	printf '[core]\n    no_scm = true\n' > $(QUICK)/.dvc/config.local
	cd $(QUICK) && dvc commit --quiet --force $(RENDERED) && dvc repro $(STAGES)
	rm -rf reports/quick
	cp -r $(QUICK)/reports/quick reports/quick

cluster: $(READY)  ## submit what `make repro` would run to a SLURM cluster; again to resume
	python -m iadlib cluster

render: $(READY)  ## render the images of data/rendered again, into .render, and report every file that differs
	rm -rf $(AGAIN)
	mkdir -p $(AGAIN)/.dvc
	git ls-files -z --cached --others --exclude-standard -- . ':!reports' ':!dvc.lock' ':!data' \
		| xargs -0 cp --parents --target-directory $(AGAIN)
	printf '[core]\n    no_scm = true\n' > $(AGAIN)/.dvc/config.local
	sed -i '/^    frozen: true$$/d' $(AGAIN)/dvc.yaml
	cd $(AGAIN) && dvc repro $(RENDERED)
	for folder in $(AGAIN)/data/rendered/*/; do \
		diff --brief --recursive data/rendered/$$(basename $$folder) $$folder || exit 1; done

test: $(READY)  ## ruff, pytest and every notebook
	ruff check .
	ruff format --check .
	nbstripout --verify notebooks/*.ipynb
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile
	pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=600 --no-header -q notebooks

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
