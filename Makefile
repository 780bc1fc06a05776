# What you can do here: `make help`. Every target makes the virtual environment that it needs.
VENV ?= .venv
PYTHON ?= python3
# Given to pip at installation, for instance to ask for PyTorch's CPU build (see README.md).
PIP_OPTIONS ?=
# Notebooks that run at a time.
JOBS ?= 2
# For `make course` and `make refresh`: names or globs of notebooks; all where empty.
NOTEBOOK ?=
# For `make bench`: cases to measure, such as "sampler growth"; all where empty.
BENCH ?=
# Stored outputs come out again to the last digit on Linux, x86-64; elsewhere the sums differ, and
# the notebooks are run without comparing them: their asserts must hold.
NBVAL ?= $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),--nbval,--nbval-lax)
# For `make serve`.
PORT ?= 8000
# Given to JupyterLab.
LAB_OPTIONS ?=

BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := $(VENV)/.ready

# For `make lab`; the other targets set it themselves (ENVIRONMENT in ncf_utils/course.py).
export TF_CPP_MIN_LOG_LEVEL := 3
export TF_ENABLE_ONEDNN_OPTS := 0
export MKL_CBWR := AVX2
export ONEDNN_MAX_CPU_ISA := AVX2
export NCF_DEVICE ?= cpu
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help course test lab bench refresh student book slides hosted editions screenshots serve browser audit format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo '  Variables: NOTEBOOK="08*" JOBS=2 VENV=.venv PYTHON=python3.12 PIP_OPTIONS="..." NO_BROWSER=1 PORT=8000'

course: $(READY) ## execute every notebook into build/ and report what each measured
	$(BIN)/ncf course $(NOTEBOOK) --jobs $(JOBS)

test: $(READY) ## lint, unit tests, and every notebook against its stored outputs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pytest
	$(BIN)/pytest notebooks $(NBVAL) --nbval-current-env --nbval-cell-timeout 300 -n 2 --dist loadfile

# The settings in .jupyter: JupyterLab fetches no news, and does not ask whether it may.
lab: export JUPYTER_CONFIG_PATH := $(CURDIR)/.jupyter$(addprefix :,$(JUPYTER_CONFIG_PATH))
lab: $(READY) ## open the course in JupyterLab, on this machine only
	$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=notebooks \
		$(if $(NO_BROWSER),--no-browser) $(LAB_OPTIONS)

bench: $(READY) ## measure speed and memory, and write benchmarks/README.md
	$(BIN)/python -m benchmarks $(BENCH)

refresh: $(READY) ## execute the notebooks where they stand and store their outputs
	$(BIN)/ncf refresh $(NOTEBOOK)

student: $(READY) ## write a student edition, without outputs and solutions, into build/student
	$(BIN)/ncf student

book: $(READY) ## build the course site into build/book, from the stored outputs
	$(BIN)/ncf book

hosted: $(READY) ## write the course for Colab, with links for it and for Binder, into build/hosted
	$(BIN)/ncf hosted

slides: $(READY) ## write slides of every notebook, for a projector, into build/slides
	$(BIN)/ncf slides

editions: student slides ## write both, for a class and its teacher

screenshots: book slides ## take the README's pictures of the site and of a slide
	$(BIN)/ncf screenshots

serve: ## serve the built site on this machine only
	@test -f build/book/index.html || { echo 'build/book holds no site: make book' >&2; exit 1; }
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m http.server $(PORT) --bind 127.0.0.1 --directory build/book

browser: book slides ## test site, slides and JupyterLab in a browser, which CHROMIUM names or the path finds
	$(BIN)/pytest tests/browser -n 2 --dist loadgroup

audit: $(READY) ## look for unsafe code, and for known faults of the pinned packages
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive ncf_utils
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive -ll benchmarks trust data
	$(BIN)/python -m trust.advisories

format: $(READY) ## format the code and the notebooks
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove what was made here: build/, caches and the virtual environment
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis $(VENV)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3.12' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo 'Python cannot make a virtual environment; on Debian: apt install python3-venv' >&2; exit 1; }
	$(BIN)/python -m pip install $(PIP_OPTIONS) -c constraints.txt -e '.[all]'
	@touch $@
