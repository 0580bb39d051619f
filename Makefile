# Every target does its own set-up: python3 (3.10 or later, with venv) and a package registry are all that is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
META   := settings.ini setup.py pyproject.toml constraints.txt
PIP     = PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check
SAMPLE := COURSE_LIB_DATA=sample MPLBACKEND=agg TQDM_DISABLE=1
# one thread a process, two processes: faster on two cores than two threads, and the same numbers everywhere
FAST   := OMP_NUM_THREADS=1 $(SAMPLE)
WORKERS ?= 2
MARKS   ?= slow

.PHONY: help setup lesson test luck slow real docs bench compat lab wheel export save times clean pins
help: ## what there is to make
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: $(VENV)/.dev ## the virtual environment in .venv, with the package installed so that edits count at once
$(VENV)/.dev: $(META)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo "$(PYTHON) cannot make a virtual environment here: install its venv module (Debian: apt-get install python3-venv)"; exit 1; }
	$(PIP) install -q --upgrade pip
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(PIP) install -q -c constraints.txt -e '.[dev,docs]'
	@touch $@

lesson: setup ## lesson 1 on generated pictures: trains, prints the table, writes a page
	$(SAMPLE) $(BIN)/course_lib lesson 1

test: setup ## every notebook and every quick test
	$(FAST) $(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not real"

luck: setup ## every notebook with other random numbers (SHIFT=2000 for yet others): what fails was luck
	SEED_SHIFT=$(or $(SHIFT),1000) $(FAST) $(BIN)/python -m pytest -n $(WORKERS) tests/test_notebooks.py

slow: $(VENV)/.docs ## the wheel in a fresh environment, the site in a browser
	$(FAST) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m '$(MARKS)'

real: setup ## every recipe, shortened, on real data (needs a mirror: COURSE_LIB_MIRROR, or ../shared/data)
	$(BIN)/python -m pytest -n $(WORKERS) -m real

docs: $(VENV)/.docs ## the site, in _site/
	$(FAST) $(BIN)/python tools/make_site.py

bench: setup ## measurements beside other libraries; results in benchmarks/results/ (NAMES="engine rows" for some only)
	$(BIN)/python benchmarks/run.py $(NAMES)

compat: setup ## notebooks written for fastai, cell by cell: NBS="folder-or-notebook …" (PEERS=--peers runs fastai, too; OUT=file keeps the figures)
	@test -n "$(NBS)" || { echo 'which notebooks? make compat NBS="folder-or-notebook …": a folder is a group (course, tutorials, strangers)'; exit 2; }
	$(FAST) $(BIN)/python tools/run_cells.py $(NBS) $(PEERS) $(if $(OUT),--out $(OUT))

lab: setup ## JupyterLab on the notebooks
	$(BIN)/jupyter lab nbs

wheel: setup ## the wheel and the source archive, in dist/
	rm -rf build dist
	$(BIN)/python -m build -q

export: setup ## notebooks -> course_lib/ and README.md, then clean notebooks
	$(BIN)/python tools/export.py

save: setup ## run notebooks and keep small outputs (NBS="nbs/…/….ipynb …" for some only)
	$(FAST) $(BIN)/python tools/save_notebooks.py $(NBS)

times: setup ## measure how long each page takes, and write that into the pages and the tables that name them
	@mkdir -p out
	$(FAST) $(BIN)/python -m pytest -n $(WORKERS) tests/test_notebooks.py --junitxml=out/times.xml
	$(BIN)/python tools/page_times.py out/times.xml

pins: $(VENV)/.docs ## write constraints.txt from what is installed in .venv
	$(BIN)/python tools/pins.py > constraints.new && mv constraints.new constraints.txt && touch $(VENV)/.dev $(VENV)/.docs

clean: ## remove what was generated, keep .venv
	rm -rf _proc _site _build build dist out .pytest_cache .ruff_cache .import_linter_cache
