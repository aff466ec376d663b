# The whole set-up is one virtual environment; everything below makes it first when it is missing or outdated.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help setup repro test test-all test-exhaustive test-fast lint format ui reference site

help:
	@echo "make repro      rebuild everything that changed (first time: set-up and the whole pipeline)"
	@echo "make ui         compare the runs in the browser; prints the address of their table"
	@echo "make test       the tests           make test-fast   without the slow ones"
	@echo "make test-all   with kills, several processes, whole pipelines again and benchmarks, as .ci/run does"
	@echo "make lint       code and prose      make format      ruff's formatter"
	@echo "make reference  docs/reference.md from the code"
	@echo "make site       README.md and docs/ as a web site in site/"

setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fakeface needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

repro: .venv/.installed
	@$(BIN)/fakeface check
	$(BIN)/dvc repro
	@echo
	@echo "Read      reports/index.html: the best approach, its accuracy, how certain that is, and the cost"
	@echo "Tables    reports/evaluate/table.md and the pictures in reports/evaluate/figures/"
	@echo "Data      reports/audit/index.html: what a detector could learn instead of the faces"
	@echo "Models    models/, a folder for each approach"
	@[ -z "$$(git status --porcelain dvc.lock 2> /dev/null)" ] || echo "Lock      dvc.lock changed: commit it with reports/;" \
		"if you edited nothing, this processor rounds differently (docs/track.md, Repeatability)"
	@echo "Compare   $(BIN)/dvc metrics show, $(BIN)/dvc plots show, and MLflow:"
	-@$(BIN)/fakeface publish
	@[ -z "$$(git status --porcelain reports/champion.json 2> /dev/null)" ] || echo "Champion  reports/champion.json is new or changed:" \
		"commit it, so that a new MLflow store has the same one"

test: .venv/.installed
	$(PYTEST) -m "not exhaustive"

test-exhaustive: .venv/.installed
	$(PYTEST) -m exhaustive

test-all: test test-exhaustive

test-fast: .venv/.installed
	$(BIN)/python -m pytest -m "not slow"

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell $$(git ls-files "*.md" "*.py" "*.html" "*.js" "*.yaml" "*.yml" Makefile)
	$(BIN)/python docs/prose.py

format: .venv/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: .venv/.installed
	@$(BIN)/python -m fakeface.tracking.store
	MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --host 127.0.0.1

reference: .venv/.installed
	$(BIN)/python docs/reference.py > docs/.reference && mv docs/.reference docs/reference.md

site: .venv/.installed
	$(BIN)/python docs/build.py
	$(BIN)/zensical build --strict --clean
