# `make demo` and `make test` are all that is needed: both set up .venv first.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: setup services demo cluster-demo serve check test soak bench

setup: $(READY)

# Tests use a real RabbitMQ and a real browser. Without root, or without Debian's package manager, those that need
# them are skipped, each with a line.
services:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then sh scripts/install-services.sh; fi

# The stamp makes this idempotent: it is done again when the dependencies change.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: PYTHON=python3.12 make setup" >&2; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	touch $@

demo: setup
	$(PY) examples/demo/demo.py

cluster-demo: setup
	$(PY) examples/cluster/demo.py

serve: setup
	$(VENV)/bin/stepwell serve

check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy bench
	$(VENV)/bin/lint-imports
	$(PY) -m pytest -m "not slow"

# On all processors; the tests of one file stay together, since they share servers and brokers.
test: setup services
	$(PY) -m pytest --numprocesses auto --dist loadfile

soak: setup services
	STEPWELL_SOAK=1 $(PY) -m pytest

bench: setup
	$(PY) -m bench.run
