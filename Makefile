# make install | demo | lab | test | check | docs | strip | bench | clean
#
# Everything lives in .venv/ beside this file. Options for pip: make install PIP_ARGS="..."
# Another Python: make install PYTHON=python3.12

PYTHON ?= python3
PIP_ARGS ?=

VENV := $(CURDIR)/.venv
ifeq ($(OS),Windows_NT)
  BIN := $(VENV)/Scripts
else
  BIN := $(VENV)/bin
endif
PY := $(BIN)/python
STAMP := $(VENV)/.installed
STRIP := "$(PY)" -m nbstripout --keep-id --extra-keys metadata.language_info

# Two processes with a thread for each core waste nearly everything: say how many there are.
OMP_NUM_THREADS ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export OMP_NUM_THREADS

.PHONY: help install demo lab test test-fast check docs strip bench clean

help:
	@echo "make install   everything into .venv/ (the other targets do this by themselves)"
	@echo "make demo      crystals of SrTiO3 with a band gap of 2 eV, in runs/demo"
	@echo "make lab       JupyterLab at notebooks/04_sample.ipynb (its options: LAB_ARGS=...)"
	@echo "make test      all tests"
	@echo "make test-fast those that take one to two minutes: no browser, no notebooks, no trainings"
	@echo "make check     lint, format, types, layers, notebooks without outputs"
	@echo "make docs      the documentation site in build/site, its notebooks executed; no network"
	@echo "make strip     outputs out of the notebooks, before a commit"
	@echo "make bench     speed: a table, runs/bench.json and runs/bench.html"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x "$(PY)" || { \
	  found=""; \
	  for python in "$(PYTHON)" python3.13 python3.12 python3.11; do \
	    if "$$python" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; \
	    then found="$$python"; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "Python 3.11, 3.12 or 3.13 with its venv module is needed, and '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1 || true)." >&2; \
	    echo "Install one of them, or name it: make install PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "making .venv with $$found"; \
	  "$$found" -m venv "$(VENV)"; }
	"$(PY)" -m pip install $(PIP_ARGS) -c constraints.txt torch
	"$(PY)" -m pip install $(PIP_ARGS) -c constraints.txt -e ".[test,docs]"
	@touch "$(STAMP)"

# A second `make demo` continues the run that it finds there.
demo: $(STAMP)
	"$(PY)" -m crystal_ldm run 04_sample --formula SrTiO3 --band-gap 2.0 --num-samples 8 --run-dir runs/demo
	"$(PY)" -m crystal_ldm show runs/demo

# LAB_ARGS are JupyterLab's: make lab LAB_ARGS="--port 9999 --no-browser"
lab: $(STAMP)
	"$(PY)" -m crystal_ldm lab "$(CURDIR)" $(LAB_ARGS)

test: $(STAMP)
	"$(PY)" -m pytest

# The tests of single functions, in 148 CPU seconds: a process and one thread a core.
test-fast: $(STAMP)
	OMP_NUM_THREADS=1 "$(PY)" -m pytest -n auto --maxprocesses 4 --dist worksteal \
	  -m "not slow and not browser and not notebook and not fault"

# Types and layers are checked in the layout of the wheel, where widgets lie inside the package.
check: $(STAMP)
	"$(PY)" -m ruff check .
	"$(PY)" -m ruff format --check .
	rm -rf build/check && mkdir -p build/check
	cp -R crystal_ldm build/check/ && cp -R widgets notebooks build/check/crystal_ldm/
	cd build/check && "$(PY)" -m mypy --config-file ../../pyproject.toml -p crystal_ldm
	cd build/check && "$(PY)" -c "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports('../../pyproject.toml'))"
	$(STRIP) --verify notebooks/*.ipynb docs/tutorials/*.ipynb

# DOCS_EXECUTE=0 leaves the notebooks of the tutorials without results: seconds instead of minutes.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 "$(PY)" -m mkdocs build --strict

strip: $(STAMP)
	$(STRIP) notebooks/*.ipynb docs/tutorials/*.ipynb

bench: $(STAMP)
	"$(PY)" -m benchmarks --compile --growth

clean:
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	@echo "kept: .venv/ and runs/"
