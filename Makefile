# make run     serve webqueue at http://127.0.0.1:8000 (makes .venv first)
# make test    ruff, mypy, pytest with branch coverage
# make lint    ruff and mypy only        make bench   the benchmarks        make clean   away with what was made
# make soak    mixed load for WEBQUEUE_SOAK_SECONDS (600): memory, descriptors, threads and the log stay flat

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
HOST ?= 127.0.0.1
PORT ?= 8000
ARGS ?=

.PHONY: run test lint bench soak tools clean

run: .venv/.run
	exec $(BIN)/webqueue run --host $(HOST) --port $(PORT) $(ARGS)

test: .venv/.test tools
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/.bench
	@for script in handoff throughput web backlog pages compute live; do \
	  echo "== benchmarks/$$script.py"; $(BIN)/python benchmarks/$$script.py || exit 1; done

soak: .venv/.test
	$(BIN)/python benchmarks/soak.py

# Programs that tests drive: Debian's own browser; strace, which records and disturbs what is written to the disk;
# clocks that are set; the proxy and its certificate; slow clients. Each has the name of its package.
# Where they can't be installed here the line to do so is printed, and the tests that need them fail with it.
TOOLS := chromium strace faketime nginx openssl slowhttptest
tools:
	@for tool in $(TOOLS); do command -v $$tool >/dev/null || missing=yes; done; [ -n "$$missing" ] || exit 0; \
	line="apt-get update -qq && apt-get install -y -qq --no-install-recommends $(TOOLS)"; \
	if ! command -v apt-get >/dev/null; then echo "make: for the tests install $(TOOLS)"; \
	elif [ "$$(id -u)" = 0 ]; then sh -c "$$line" >/dev/null || echo "make: for the tests run: $$line"; \
	elif sudo -n true 2>/dev/null; then sudo sh -c "$$line" >/dev/null || echo "make: for the tests run: sudo sh -c '$$line'"; \
	else echo "make: for the tests run: sudo sh -c '$$line'"; fi

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: webqueue needs Python 3.11 or newer; say which one: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "make: no venv module; on Debian: apt-get install python3-venv"; exit 1; }

.venv/.run: .venv/bin/python pyproject.toml
	$(PIP) -e .
	@touch $@

.venv/.test: .venv/bin/python pyproject.toml
	$(PIP) -e '.[test]'
	@touch $@ .venv/.run

.venv/.bench: .venv/bin/python pyproject.toml
	$(PIP) -e '.[bench]'
	@touch $@

clean:
	rm -rf .venv dist build .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
