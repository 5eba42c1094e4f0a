# Two commands: `make demo` runs a real exchange; `make test` proves it. The rest is for working on it.
PYTHON ?= python3.11
BIN := .venv/bin
ONCE ?=
INPUT ?=
MAPPING ?=
BENCH ?=
WORKERS ?= 2
FAULTS ?= ledger
SEEDS ?= 20
SEED ?=
ONLY ?=
SISTERS ?=

.PHONY: help demo test check up down status reset bench faults setup setup-test format

help:  ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: ; @scripts/setup run
setup-test: ; @scripts/setup test

demo: setup  ## Start everything and run one purchase; ONCE=1 headless, INPUT=FILE on your own table
	@$(BIN)/python -m exchange.runner demo $(if $(ONCE),--once) $(if $(INPUT),--input "$(INPUT)") $(if $(MAPPING),--mapping "$(MAPPING)")

up: setup  ## The same in the background
	@$(BIN)/python -m exchange.runner up

down:  ## Stop what `up` started
	@$(BIN)/python -m exchange.runner down

status:  ## What is running
	@$(BIN)/python -m exchange.runner status

reset: down  ## Stop, and forget the demo's databases, keys and chain
	@$(BIN)/python -m exchange.runner reset

test: setup-test  ## Every test, on servers of its own, by as many workers as WORKERS says
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

check: setup-test  ## Format, lint, types, layers, migrations, API description, translations
	@scripts/check

format: setup-test  ## Put code into the project's form
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: setup-test  ## Benchmarks: ratios within one run, on fixed seeds; BENCH=name for one
	@$(BIN)/python -m tests.benchmarks $(BENCH)

faults: setup-test  ## Injected faults, judged from outside: FAULTS=ledger or compute, SEEDS=20; ONLY=name SEED=n for one, SISTERS=1 guards off
	@$(BIN)/python -m tests.faults $(FAULTS) --seeds $(SEEDS) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(SISTERS),--sisters)
