# The commands for a new checkout: `make demo` shows linesync at work, `make test` checks it.
#
# make PYTHON=/path/to/python3.12 chooses the interpreter; make pytest ARGS="-k barrier" chooses the tests.
PYTHON ?=
ARGS   ?=
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs-installed

.PHONY: all demo quick test lint format pytest compiled docs soak bench clean help
all: demo

help:
	@echo "make demo      show a hub and two agents on null modems on this machine, step by step"
	@echo "make quick     run the tests that are pure or on virtual time, in less than a minute"
	@echo "make test      run ruff, mypy, import-linter and pytest, in less than six minutes"
	@echo "make lint      run only ruff, mypy and import-linter;  make pytest ARGS=...  runs only pytest"
	@echo "make docs      build the site in build/docs/html and the man pages in build/man"
	@echo "make compiled  compile the core (gcc, python3-dev) and run its tests; the wheel is in build/wheel"
	@echo "make soak      run the searching tests with many more lives and examples, for a night"
	@echo "make bench     measure speed and latency beside sz/rz, kermit and uucp for docs/performance.md, for an hour;"
	@echo "               ARGS=--quick takes less than a minute"
	@echo "make clean     remove .venv, all builds and all caches"

# The system's own Python is tried before others, such as one from pyenv. A venv without pip is made again, because Debian's
# python3 leaves such a venv behind if python3-venv is missing.
$(STAMP): pyproject.toml
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
	for python in $(or $(PYTHON),/usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11); do \
	  if ! command -v $$python >/dev/null 2>&1; then \
	    why="$${why:-$$python is not installed; on Debian: apt-get install python3 python3-venv}"; continue; fi; \
	  if ! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    why="$$python is older than 3.11"; continue; fi; \
	  if ! $$python -c 'import venv, ensurepip' 2>/dev/null; then \
	    why="$$python cannot make a venv; install it with: apt-get install python3-venv"; continue; fi; \
	  echo "linesync: making $(VENV) with $$python"; exec $$python -m venv --clear $(VENV); \
	done; \
	echo "linesync: found no Python >= 3.11 that can make a venv ($$why); name one with make PYTHON=..." >&2; exit 1
	@echo "linesync: installing into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev]' || { \
	  echo "linesync: pip could not install the dependencies in pyproject.toml; check that it can reach a package index" \
	    "(PIP_INDEX_URL, PIP_PROXY)" >&2; exit 1; }
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/linesync demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# tests/conftest.py says which tests are quick. They compute, so one process for each core runs them. Live tests mostly wait
# for lines and for each other, so twice as many processes divide their files. Tests that measure time run alone.
# EFFORT is the share of all lives that the searches run (tests/effort.py). With EFFORT=1, as in CI, all lives and also the long
# tests run.
# A live test that fails beside three others runs once more alone, because a busy machine can make it too slow. Its first
# failure stays in the output. A test that fails twice fails.
EFFORT ?= 0.1
ALONE := tests/bench/test_quick.py tests/testing/test_nullmodem_speed.py tests/e2e/lines/test_qemu.py
WHOLE := $(filter 1,$(EFFORT))
SHORT := $(if $(WHOLE),, and not long)
FAILED_AGAIN = $(PYTEST) -x -m "live$(SHORT)" --last-failed --last-failed-no-failures none
PYTEST := LINESYNC_EFFORT=$(EFFORT) $(BIN)/python -m pytest
quick: $(STAMP)
	LINESYNC_EFFORT=0.05 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not live and not long" $(ARGS)

pytest: $(STAMP)
ifeq ($(strip $(ARGS)),)
	$(PYTEST) -n 2 --dist worksteal -m "not live$(SHORT)"
	$(PYTEST) -n 4 --dist loadfile -m "live$(SHORT)" $(addprefix --ignore=,$(ALONE)) || $(FAILED_AGAIN)
	$(if $(WHOLE),$(PYTEST) $(ALONE))
else
	$(BIN)/python -m pytest $(ARGS)
endif

test: lint pytest

# The hook builds in place and moves pyproject.toml away meanwhile, so it works on a copy of the sources.
# Without PYTHONSAFEPATH, Python would import the sources in the current directory instead of the build.
# CI runs the tests that take a minute; COMPILED_TESTS="tests/wire tests/system" runs all tests of the core.
COMPILED := build/compiled
COMPILED_SLOW := tests/wire/autobaud/test_controller.py \
  $(addprefix tests/wire/test_,lives.py fairness.py goodput_optimum.py latency_under_bulk.py)
COMPILED_TESTS ?= tests/protocol/test_escaping.py tests/cli/test_program.py \
  $(filter-out $(COMPILED_SLOW),$(wildcard tests/wire/test_*.py tests/wire/*/test_*.py)) tests/system/test_copying.py
$(COMPILED)/.built: $(STAMP) $(shell find linesync -name '*.py')
	rm -rf build/copy build/wheel $(COMPILED)
	mkdir -p build/copy
	cp -r pyproject.toml README.md LICENSE .gitignore linesync build/copy
	HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(BIN)/python -m pip wheel -qq --disable-pip-version-check --no-deps -w build/wheel build/copy
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --target $(COMPILED) build/wheel/*.whl
	@touch $@

ON_COMPILED := PYTHONPATH=$(CURDIR)/$(COMPILED):$(CURDIR) PYTHONSAFEPATH=1 LINESYNC_COMPILED=1 $(BIN)/python -m pytest
compiled: $(COMPILED)/.built
	$(ON_COMPILED) tests/test_compiled.py
	$(ON_COMPILED) -n 2 -m "not interpreted" $(COMPILED_TESTS)

# Sphinx is not in the extra dev, so that `make test` installs quickly. A warning is an error.
$(DOCS_STAMP): $(STAMP)
	@echo "linesync: installing Sphinx into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[docs]'
	@touch $@

SPHINX := $(BIN)/sphinx-build --quiet --fresh-env --write-all --fail-on-warning --keep-going
docs: $(DOCS_STAMP)
	$(SPHINX) -b html docs build/docs/html
	$(SPHINX) -b man docs build/man

# The searching tests with many more lives and examples, for a night.
soak: $(STAMP)
	LINESYNC_SOAK=1 $(BIN)/python -m pytest tests/e2e/attacks/test_counts.py
	LINESYNC_SOAK=1 $(BIN)/python -m pytest -m "not live" $(ARGS)

bench: $(STAMP)
	$(BIN)/python -m tools.bench $(ARGS)

clean:
	find linesync -name '*.so' -delete
	rm -rf $(VENV) *__mypyc*.so build dist docs/reference/commands .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
