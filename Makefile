# Each target is one call of the tool. `make help` lists them.
.DEFAULT_GOAL := help
PROJECT ?= .
MWAA := .venv/bin/mwaa-local --project $(PROJECT)
# Any Python from 3.11 on; the first that answers.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 $$(ls -d $$HOME/.pyenv/versions/3.1[1-9]*/bin/python3 2>/dev/null); do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
export MWAA_LOCAL_AIRFLOW_VERSION := $(AIRFLOW_VERSION)
export MWAA_LOCAL_ENGINE := $(ENGINE)

.PHONY: help install up down restart reset status logs shell config doctor versions smoke validate package check test test-all test-versions drills lint mutants
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python cannot make a virtual environment: apt-get install python3-venv" >&2; exit 1; }
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/.installed: pyproject.toml | .venv/bin/uv
	@.venv/bin/uv pip install --quiet --python .venv/bin/python -e '.[awscli,docker,watch]'
	@touch $@

.venv/.tested: pyproject.toml | .venv/bin/uv
	@.venv/bin/uv pip install --quiet --python .venv/bin/python -e '.[dev]'
	@touch $@ .venv/.installed

install: .venv/.installed ## Make .venv with the command line in it

up: install ## Start the environment (AIRFLOW_VERSION=2.10.3, ENGINE=process, PROJECT=dir)
	@$(MWAA) up

down: install ## Stop it, keep the data
	@$(MWAA) down

restart: install ## Restart every component
	@$(MWAA) restart

reset: install ## Stop it and wipe its data (asks; FORCE=1 does not)
	@$(MWAA) reset $(if $(FORCE),--yes)

status: install ## State, health, uptime and memory of every component
	@$(MWAA) status

logs: install ## Follow the components' output (COMPONENT=worker)
	@$(MWAA) logs $(COMPONENT) --follow

shell: install ## A shell inside a component (COMPONENT=worker)
	@$(MWAA) shell $(or $(COMPONENT),worker)

config: install ## Every effective Airflow value, its layer and what it overrode
	@$(MWAA) config

doctor: install ## What this machine has and what is missing
	@$(MWAA) doctor

versions: install ## Airflow versions that can be run
	@$(MWAA) versions

smoke: install ## Run the smoke DAGs and fail on any import error or failed run
	@$(MWAA) smoke

validate: install ## Say in seconds what MWAA would refuse
	@$(MWAA) validate

package: install ## Build what goes to the bucket
	@$(MWAA) package

check: lint ## Format, lint, types, imports and the unit tests: before every commit
	@.venv/bin/python tests/suite.py unit $(PYTEST_ARGS)

test: .venv/.tested ## What a newcomer needs to trust it, in minutes; what is skipped says why
	@.venv/bin/python tests/suite.py short $(PYTEST_ARGS)

test-all: .venv/.tested ## Everything that can run on this machine: every version, both engines, an hour
	@.venv/bin/python tests/suite.py all $(PYTEST_ARGS)

test-versions: .venv/.tested ## Every Airflow version of the catalog in full, more than an hour
	@MWAA_LOCAL_TEST_VERSIONS=all .venv/bin/python -m pytest tests/e2e tests/contract/test_catalog_airflow_defaults.py tests/contract/test_catalog_airflow_names.py $(PYTEST_ARGS)

drills: .venv/.tested ## Kill each part and everything, fill the disk, damage the state; then look for what was lost
	@.venv/bin/python -m pytest -m drills tests/e2e $(PYTEST_ARGS)

.venv/.mutants: pyproject.toml | .venv/bin/uv
	@.venv/bin/uv pip install --quiet --python .venv/bin/python -e '.[mutants]'
	@touch $@

mutants: .venv/.mutants ## Plant mistakes in a room and say which no test notices (ROOM=runtime, BASE=main, ALL=1, SAMPLE=60, SEED=1, QUICK=1; or FROM=mistakes.json)
	@test -n "$(ROOM)$(FROM)" || { echo "say which room: make mutants ROOM=runtime (folders of src/mwaa_local, or mwaa_airflow)" >&2; exit 2; }
	@.venv/bin/python tests/mutants.py $(ROOM) $(if $(FROM),--from $(FROM)) $(if $(BASE),--base $(BASE)) $(if $(ALL),--all) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) $(if $(QUICK),--quick)

lint: .venv/.tested ## Format, lint, types, imports
	@.venv/bin/ruff check src tests bench tools && .venv/bin/ruff format --check src tests bench tools && .venv/bin/mypy && .venv/bin/lint-imports
