# make demo: the whole pipeline on a simulated plant.   make test: everything that CI runs.
# make quick: unit tests that start no process, browser, cluster or database; under two minutes.
# make torture: crashes at every I/O step and system call (needs strace), odd configurations, damaged data and models, many
#   processes at once; figures in SECURITY.md.
# make bench: speed, memory and exactness beside other libraries; about three quarters of an hour on two quiet cores.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
REQUIREMENTS ?= -r requirements-dev.txt
CLIENT := examples/node
NODE_FOUND := $(shell node -e 'process.exit(+(Number.parseInt(process.versions.node) < 18))' 2>/dev/null && echo yes)
CLIENT_TESTED := $(NODE_FOUND)$(EAGLE_REQUIRE_NODE)

# A file's tests share fixtures, so they go to one worker; the long ones come first in the order of the folders.
SIDE_BY_SIDE ?= --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# more for pytest, such as PYTEST_OPTIONS=--durations=20
PYTEST_OPTIONS ?=

BENCH := .venv-bench
BENCHMARKS ?= features training search extraction window_graph latency exactness node_exactness batch_scoring fleet fleet_scheduler

.PHONY: demo test quick check install clean docs bench client torture

install: $(VENV)/installed $(VENV)/bin/eagle-ml

$(VENV)/installed: requirements.txt requirements-fleet.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check $(REQUIREMENTS)
	touch $@

$(VENV)/bin/eagle-ml: $(VENV)/installed
	printf '#!%s\nimport sys\n\nsys.path.insert(0, "%s")\n\nfrom ml.__main__ import main\n\nsys.exit(main())\n' \
		"$(CURDIR)/$(RUN)" "$(CURDIR)" > $@
	chmod +x $@

# npm writes this file last; install scripts would only download GPU libraries
$(CLIENT)/node_modules/.package-lock.json: $(CLIENT)/package-lock.json
	cd $(CLIENT) && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

demo: install
	$(RUN) -m simulation.demo

check: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

test: check $(if $(CLIENT_TESTED),$(CLIENT)/node_modules/.package-lock.json)
	$(if $(CLIENT_TESTED),,@echo "Node.js 18 or newer is not there: the tests of the TypeScript client are skipped")
	$(RUN) -m pytest $(SIDE_BY_SIDE) $(PYTEST_OPTIONS) -m "not alone"
	$(RUN) -m pytest $(PYTEST_OPTIONS) -m alone

quick: install
	$(RUN) -m pytest tests/unit $(SIDE_BY_SIDE) $(PYTEST_OPTIONS) -m "not process"

# kept out of `make test`, which runs a few of the same cases
torture: install
	EAGLE_HISTORIES=10000 $(RUN) -m pytest -q tests/unit/learning/events/test_metrics.py tests/unit/learning/events/test_alarm_curve.py
	for part in crashes system_calls fuzzing mutations side_by_side; do $(RUN) -m tests.torture.$$part || exit 1; done

client: install $(CLIENT)/node_modules/.package-lock.json
	EAGLE_REQUIRE_NODE=1 $(RUN) -m pytest tests/pipeline/test_node_client.py

docs: install
	$(RUN) docs/generate.py
	MPLBACKEND=Agg $(RUN) docs/notebooks.py

# In an environment of its own: pandas, for one, computes differently where bottleneck is installed.
$(BENCH)/installed: requirements.txt benchmarks/requirements.txt
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	touch $@

bench: $(BENCH)/installed $(CLIENT)/node_modules/.package-lock.json
	for benchmark in $(BENCHMARKS); do $(BENCH)/bin/python -m benchmarks.$$benchmark || exit 1; done

clean:
	rm -rf $(VENV) $(BENCH) demo .mypy_cache .ruff_cache .hypothesis $(CLIENT)/node_modules $(CLIENT)/dist
