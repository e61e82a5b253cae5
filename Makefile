# make install | demo | lab | test | check | bench | clean
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

# Two processes with a thread for each core waste nearly everything: say how many there are.
OMP_NUM_THREADS ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export OMP_NUM_THREADS
# The kernel of this .venv, whatever other kernels the machine knows.
export JUPYTER_PREFER_ENV_PATH := 1
export JUPYTER_PATH := $(VENV)/share/jupyter

.PHONY: help install demo lab test check bench clean

help:
	@echo "make install   everything into .venv/ (the other targets do this by themselves)"
	@echo "make demo      crystals of SrTiO3 with a band gap of 2 eV, in runs/demo"
	@echo "make lab       JupyterLab at notebooks/04_sample.ipynb"
	@echo "make test      all tests"
	@echo "make check     lint, format, types, layers, notebooks without outputs"
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
	"$(PY)" -m pip install $(PIP_ARGS) -c constraints.txt -e ".[test]"
	@touch "$(STAMP)"

# papermill writes its working copy beside the run; the notebook puts the finished one, its HTML
# report and the crystals into runs/demo. A second `make demo` continues the run it finds there.
demo: $(STAMP)
	@mkdir -p runs
	"$(PY)" -m papermill notebooks/04_sample.ipynb runs/demo-papermill.ipynb -k python3 --log-level WARNING --no-progress-bar --log-output \
	  -r formula SrTiO3 -p band_gap 2.0 -p cfg_scale 2.0 -p num_samples 8 -r run_dir runs/demo
	"$(PY)" -m crystal_ldm.workflow report runs/demo-papermill.ipynb runs/demo --name 04_sample
	"$(PY)" -m crystal_ldm.workflow show runs/demo

lab: $(STAMP)
	"$(PY)" -m jupyter lab --ServerApp.ip=localhost notebooks/04_sample.ipynb

test: $(STAMP)
	"$(PY)" -m pytest

# Types and layers are checked in the layout of the wheel, where widgets lie inside the package.
check: $(STAMP)
	"$(PY)" -m ruff check .
	"$(PY)" -m ruff format --check .
	rm -rf build/check && mkdir -p build/check
	cp -R crystal_ldm build/check/ && cp -R widgets notebooks build/check/crystal_ldm/
	cd build/check && "$(PY)" -m mypy --config-file ../../pyproject.toml -p crystal_ldm
	cd build/check && "$(PY)" -c "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports('../../pyproject.toml'))"
	"$(PY)" -m crystal_ldm.workflow stripped notebooks

bench: $(STAMP)
	"$(PY)" -m benchmarks --compile --growth

clean:
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	@echo "kept: .venv/ and runs/"
