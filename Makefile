# `make train` and `make test` set up .venv first, from the versions in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
TESTS := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: train test test-all lint format benchmark docs pictures clean

train: .venv/ready
	$(BIN)/python scripts/train.py trainer.max_epochs=100 pictures.every_n_epochs=50 threads=1

test: lint
	$(TESTS) -m "not slow"

test-all: lint
	$(TESTS)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: .venv/ready
	$(BIN)/python scripts/benchmark.py

docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html in a browser"

pictures: .venv/ready
	$(BIN)/python scripts/pictures.py

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv site .mypy_cache .pytest_cache .ruff_cache .hypothesis
