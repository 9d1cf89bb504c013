# All commands run on a fresh checkout: the first makes .venv and installs into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEEDS ?= 300
FIRST_SEED ?= 1
PROFILE ?= base
LINES ?= 1000000
SITES ?= 500
MINUTES ?= 10

.PHONY: help venv packages demo run test unit integration simulate herd month fuzz soak bench bench-quick check lint type etc clean

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

venv: $(STAMP) ## make the virtual environment and install

$(STAMP): setup.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (the first time takes a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check setuptools wheel
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[test]'
	@touch $(STAMP)

demo: $(STAMP) ## two sites survive cut links, with real processes (ARGS="--sabotage drop-ack")
	@$(BIN)/python -m papercutd.demo $(ARGS)

run: $(STAMP) ## all roles on loopback with sample data, until Ctrl-C
	@$(BIN)/python -m papercutd.demo --run $(ARGS)

packages: ## Debian packages of the tests: installed as root, else named
	@tests/support/install.sh

test: packages $(STAMP) ## everything; as root it installs the Debian packages the tests need
	@$(BIN)/python tests/run.py tests

unit: $(STAMP) ## unit tests only
	@$(BIN)/python tests/run.py tests.unit

integration: packages $(STAMP) ## real processes only
	@$(BIN)/python tests/run.py tests.integration

simulate: $(STAMP) ## the simulator (SEEDS=n FIRST_SEED=k PROFILE=p; nightly: all of them, every fault met)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --first-seed $(FIRST_SEED) --profile $(PROFILE) \
	    $(if $(filter nightly,$(PROFILE)),--coverage)

herd: $(STAMP) ## very many simulated sites, new, then cut and healed together (SITES=n)
	@$(BIN)/python -m tests.simulation.herd --sites $(SITES)

month: $(STAMP) ## a simulated month, 100,000 users, 20 sites cut at random: every balance (ARGS="--sites n")
	@$(BIN)/python -m tests.simulation.month $(ARGS)

fuzz: $(STAMP) ## hostile lines at the protocols (LINES=n)
	@$(BIN)/python -m tests.fuzz --lines $(LINES)

soak: $(STAMP) ## real processes, cut, killed and filled at random, then verified; root (MINUTES=n ARGS="--seed k")
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

bench: $(STAMP) ## figures beside their peers (ARGS="--json FILE")
	@$(BIN)/python -m tests.bench $(ARGS)

bench-quick: $(STAMP) ## the same, shorter and smaller: two and a half minutes
	@$(BIN)/python -m tests.bench --quick $(ARGS)

check: $(STAMP) lint type test ## lint, types and tests

lint: $(STAMP) ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

type: $(STAMP) ## mypy
	@$(BIN)/mypy papercutd protocols plugins

etc: $(STAMP) ## write etc/*.toml from the configuration models
	@$(BIN)/python -m papercutd.config.render etc

clean: ## remove what make made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache _trial_temp* .hypothesis
