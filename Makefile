PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test lint wheel clean

# make demo [MUSIC=DIR]: the whole chain on a composed corpus, or on the recordings in DIR.
demo: $(INSTALLED)
	$(BIN)/a2v-demo $(if $(MUSIC),--music "$(MUSIC)")

test: $(INSTALLED)
	$(BIN)/pytest -m "not slow" --numprocesses auto --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

wheel: $(INSTALLED)
	rm -rf dist
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:
	rm -rf .venv build dist a2v.egg-info .pytest_cache .ruff_cache

# The console scripts are made from the list of verbs, hence the third file.
$(INSTALLED): requirements.txt setup.py a2v/cli/__init__.py
	@command -v $(PYTHON) > /dev/null || \
	  { echo "a2v: no $(PYTHON) here; on Debian: apt-get install python3 python3-venv" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "a2v: Python 3.11 or newer is needed; name one: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
	  { echo "a2v: $(PYTHON) -m venv is missing; on Debian: apt-get install python3-venv" >&2; exit 2; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
