# One command per job. All of them need Python >= 3.10 and make, nothing else, and write only below this folder.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(CURDIR)/.cache

export UV_CACHE_DIR := $(CACHE)/uv
export UV_PYTHON_INSTALL_DIR := $(CACHE)/python
export UV_PYTHON_BIN_DIR := $(CACHE)/python/bin
export IPYTHONDIR := $(CACHE)/ipython
export JUPYTER_CONFIG_DIR := $(CACHE)/jupyter
export JUPYTER_DATA_DIR := $(CACHE)/jupyter
export JUPYTER_RUNTIME_DIR := $(CACHE)/jupyter
export MPLCONFIGDIR := $(CACHE)/matplotlib
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start hundreds of processes. Where Python is told to write no bytecode, each would compile every library again.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CACHE)/pycache

.PHONY: help test lint ruff mypy pyright format demo example notebooks matrix payloads docs mutation bench soak transparency wheel clean

help: ## Show the jobs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

# In the order of their names: by default the files with the fewest tests, which are the longest ones, come last, and one
# process waits for another.
test: $(VENV)/dev lint ## Lint, types and all tests
	@mkdir -p $(CACHE)
	$(BIN)/python -m pytest --numprocesses auto --dist loadscope --no-loadscope-reorder --basetemp $(CACHE)/pytest $(ARGS)

soak: $(VENV)/dev ## Play 300,000 streams with random endings, and compare what they leave (ARGS="--streams 3000", or ARGS=--servers for real servers)
	@$(BIN)/python -m tests.soak $(ARGS)

transparency: $(VENV)/dev ## LangChain's and LangGraph's own unit tests, with and without the handler (ARGS="--suite langgraph"); takes half an hour
	@$(BIN)/python -m tests.transparency $(ARGS)

lint: $(VENV)/dev ## ruff, mypy, and pyright for the public API
	@$(MAKE) --no-print-directory --jobs 2 ruff mypy pyright

ruff: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

mypy: $(VENV)/dev
	$(BIN)/mypy

pyright: $(VENV)/dev
	$(BIN)/basedpyright --pythonpath $(BIN)/python

format: $(VENV)/dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: $(VENV)/demo ## Stream an answer and show the span that Sentry receives (ARGS="--dialect ai")
	@$(BIN)/python -m sentry_langchain_stream demo $(ARGS)

example: $(VENV)/demo ## Serve a page that streams answers and shows their spans (ARGS="--port 9000")
	@$(BIN)/python -m examples.fastapi_sse $(ARGS)

notebooks: $(VENV)/dev ## Execute the notebooks and store their outputs
	$(BIN)/python notebooks/execute.py

matrix: $(VENV)/dev ## All tests on every supported version (ARGS="-s oldest-3.10 -- tests/runs/test_usage.py")
	$(BIN)/nox $(ARGS)

payloads: $(VENV)/dev ## The book of payloads, with every provider's package, in an environment of its own (ARGS="-- -k groq")
	$(BIN)/nox --session payloads --reuse-existing-virtualenvs $(ARGS)

docs: $(VENV)/docs ## Build the documentation site; a dead link or a page that is not in the menu fails (ARGS="--site-dir public")
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

wheel: $(VENV)/dev ## Build the wheel and the sdist, and use both in clean environments
	$(BIN)/nox --tags wheel $(ARGS)

mutation: $(VENV)/mutation ## Mutation tests of the modules without a library in them (ARGS="_runs.usage _content" for some); takes an hour or two
	$(BIN)/python tests/project/mutation.py $(ARGS)

bench: $(VENV)/bench ## Measure what the handler costs, beside its peers, and write docs/performance.md (ARGS="--quick")
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove the environment and what the jobs made
	rm -rf $(VENV) $(CACHE) dist build mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/pip: 
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-cache-dir uv
	@touch $@

$(VENV)/demo: $(VENV)/pip pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[demo]"
	@touch $@

$(VENV)/dev: $(VENV)/pip pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[dev]"
	@touch $@ $(VENV)/demo

$(VENV)/docs: $(VENV)/pip pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[docs]"
	@touch $@

$(VENV)/mutation: $(VENV)/dev
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[mutation]"
	@touch $@

$(VENV)/bench: $(VENV)/pip pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[bench]"
	@touch $@ $(VENV)/demo
