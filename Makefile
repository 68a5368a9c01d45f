# make demo · make test · make check: each sets up what it needs and keeps it for the next time.
PYTHON ?= python3
WORKERS ?= 2
SOURCES := $(shell find src -type f -not -name '*.pyc')

.PHONY: demo test slow check clean

demo: .venv/.installed
	.venv/bin/nacre demo --force

test: .venv-test/.installed
	OMP_NUM_THREADS=1 .venv-test/bin/pytest -n $(WORKERS)

slow: .venv-test/.installed
	.venv-test/bin/pytest -m slow

check: .venv-test/.installed
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy --strict src

# What users get: the core install, nothing else.
.venv/.installed: pyproject.toml $(SOURCES)
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet .
	touch $@

# Editable, so that only a change of what is asked for installs anew.
.venv-test/.installed: pyproject.toml constraints-test.txt requirements-parity.txt
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/python -m pip install --quiet -r constraints-test.txt
	.venv-test/bin/python -m pip install --quiet -c constraints-test.txt -e '.[dev,train,eval]'
	.venv-test/bin/python -m pip install --quiet --no-deps -r requirements-parity.txt
	touch $@

clean:
	rm -rf .venv .venv-test build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
