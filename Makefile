# Every verb of the project. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test check format bench clean

help: ## list the verbs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,test,check]'
	touch $(STAMP)

demo: $(STAMP) ## a small world with a planted failure: built, monitored, served
	$(BIN)/driftmap demo

test: $(STAMP) ## every test, in a real browser too where there is one
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(STAMP) ## style, types, the import rule, the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_docs.py

format: $(STAMP) ## put the code in its usual form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ROWS ?= 10000000
BENCH := --rows $(ROWS) --json --cache build/benchmarks --results benchmarks/results
STORE := --store build/benchmarks/store-$(ROWS).duckdb

bench: $(STAMP) ## measure speed at ten million rows (or ROWS), into benchmarks/results
	$(BIN)/python benchmarks/ingest.py $(BENCH) $(STORE)
	$(BIN)/python benchmarks/interaction.py $(BENCH) $(STORE)
	$(BIN)/python benchmarks/users.py $(BENCH) $(STORE)
	$(BIN)/python benchmarks/labels.py $(BENCH) $(STORE)
	$(BIN)/python benchmarks/regions.py $(BENCH)
	$(BIN)/python benchmarks/monitor_run.py $(BENCH)
	$(BIN)/python benchmarks/charts.py

clean: ## remove what the verbs made
	rm -rf $(VENV) demo build *.egg-info
