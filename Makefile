# Everything a contributor or CI runs. `make help` lists it; only Python >= 3.11 is needed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

# A server that the caller's environment names is the caller's: nothing here may touch it.
$(foreach name,$(filter PG% LOADER_% DBT_%,$(.VARIABLES)),$(eval unexport $(name)))
# The tests start the loader hundreds of times; without it each compiles all of its modules anew.
unexport PYTHONDONTWRITEBYTECODE
export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo board pictures test lint lint-python lint-sql unit integration pipeline \
	models tests beside docs-test postgres15 citus soak mutations bench docs audit sbom clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Starts the embedded server and points dbt at it; without one, dbt must not look for another.
use_server = variables=$$(loader db env) && eval "$$variables" &&
use_server_once = trap 'loader db stop >/dev/null' EXIT; $(use_server)

# --- set-up -----------------------------------------------------------------------------------

# The lock files name every package, so pip need not look for more (--no-deps), and `pip check`
# says so if that is ever wrong.
define install
	$(BIN)/pip install -qq --no-deps --require-hashes -r $(1)
	$(BIN)/pip install -qq --no-deps --no-build-isolation --editable .
	$(BIN)/pip check --quiet
endef

# Programs in .venv name the folder in which they were installed.
lost := $(shell sed -n 's/^command = .* -m venv \(\/.*\)/\1/p' .venv/pyvenv.cfg 2>/dev/null | \
	while read -r place; do test -d "$$place" || echo "$$place"; done)
ifneq ($(if $(filter clean,$(MAKECMDGOALS)),,$(lost)),)
$(error .venv was made as $(lost), and its programs run nowhere else: rm -r .venv)
endif

.venv/created:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "video-events needs Python 3.11 or newer, and $(PYTHON) is not:" \
			"make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@case "$$PWD" in *[\'\"\`\$$]*) echo "pip works in no folder with a quote or a \$$ in its path: move $$PWD" >&2; \
		exit 1 ;; esac
	@"$(PYTHON)" -m venv .venv || { \
		echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu:" \
			"apt-get install python3-venv" >&2; exit 1; }
	@touch $@

.venv/runtime: .venv/created requirements/runtime.txt pyproject.toml
	@echo "Installing the loader, dbt and PostgreSQL into .venv (a minute, once)"
	@$(call install,requirements/runtime.txt)
	@touch $@

.venv/dev: .venv/created requirements/dev.txt pyproject.toml
	@echo "Installing everything that the tests need into .venv (two minutes, once)"
	@$(call install,requirements/dev.txt)
	@touch $@ .venv/runtime

profiles.yml:
	@cp profiles.example.yml $@

# That of the embedded server; whoever has another one may well keep it, but need not.
$(BIN)/psql: .venv/runtime
	@ln -sf "$$($(BIN)/python -c 'from loader.server.embedded import find_programs; print(find_programs())')/psql" $@

setup: .venv/runtime $(BIN)/psql profiles.yml ## install the loader, dbt and PostgreSQL into .venv

# --- try it -----------------------------------------------------------------------------------

rush_hour := --since 2024-05-13T08:00Z --until 2024-05-13T09:00Z

.demo/events.csv: | .venv/runtime
	@mkdir -p $(@D)
	@loader generate --events 2000 --sources 3 --days 1 > $@.unfinished
	@mv $@.unfinished $@

PORT ?= 8520

# The colours of the seed, where it was changed.
charts/_colours.yml: seeds/categories.csv charts/colours.py .venv/runtime
	@python charts/colours.py $< >$@.new && { cmp -s $@.new $@ && rm $@.new && touch $@ || mv $@.new $@; }

demo: .venv/runtime profiles.yml .demo/events.csv charts/_colours.yml ## load a day of made-up events and show what happened
	@loader load .demo/events.csv
	@$(use_server) dbt --quiet build --exclude-resource-type unit_test && { ! command -v dct >/dev/null || dct render \
		charts/activity.yml --format html --output .demo/board.html --no-cache --no-warnings \
		>.demo/board.log 2>&1 || { cat .demo/board.log >&2; exit 1; }; }
	@echo; echo "Periods of activity, from 8 to 9 o'clock:"
	@loader periods $(rush_hour)
	@echo "Alerts:"
	@loader alerts $(rush_hour)
	@echo "That was one hour of a made-up day. Next, after: source .venv/bin/activate"
	@echo "  loader periods             the whole day"
	@echo "  loader load FILE.csv       your own events: docs/howto/load-your-own-files.md"
	@echo '  eval "$$(loader db env)"    now dbt, psql and BI tools see the same database'
	@echo "  loader db stop             when you are done"
	@! command -v dct >/dev/null || { \
		echo "The whole day is on a board: open .demo/board.html in a browser. With filters:"; \
		echo "  make board                 then open http://localhost:$(PORT)/activity/"; }

board: .venv/runtime profiles.yml charts/_colours.yml ## serve the board of what is in the database, on PORT=8520
	@command -v dct >/dev/null || { echo "dbt Charts needs Python 3.11 to 3.13" >&2; exit 1; }
	@loader maintain --quiet
	@$(use_server) dbt --quiet build --exclude-resource-type test unit_test && \
		echo "http://localhost:$(PORT)/activity/ (also /activity-dark/, /activity-phone/," \
			"/activity-phone-dark/); Ctrl-C ends it" && \
		dct serve --port $(PORT) --no-cache

# --- check it ---------------------------------------------------------------------------------

# The checks have a server, a profile and dbt artifacts of their own, below .test.
lint-sql models: export LOADER_SERVER_DIR := $(CURDIR)/.test/server
lint-sql models: export DBT_PROFILES_DIR := $(CURDIR)/.test
lint-sql models: export DBT_TARGET_PATH := $(CURDIR)/.test/target
lint-sql models: export DBT_LOG_PATH := $(CURDIR)/.test/logs

.test/profiles.yml: profiles.example.yml
	@mkdir -p $(@D)
	@cp $< $@

# Its programs, where they are installed; make test POSTGRES15=/its/bin for another place.
POSTGRES15 := $(patsubst %/initdb,%,$(firstword $(wildcard $(addsuffix /initdb, \
	/usr/lib/postgresql/15/bin /usr/pgsql-15/bin /opt/homebrew/opt/postgresql@15/bin))))
# Tests that share a broker, a pooler or a checkout are one group; the others go to who is free.
pytest := pytest --durations 10 --dist loadgroup --no-loadscope-reorder
# They wait for servers more than they work.
waiting := -n 6
# They work, but for some.
working := -n 3
# Some work while others wait.
mixed := -n 5
# What people read and look at, tested as they see it; what takes longest comes first.
pages := $(addprefix tests/pipeline/test_,docs.py site.py board.py odbc.py tools.py)

# Lint and the models' own tests go on beside the others, and say what was wrong as soon as it is.
test: .venv/dev ## lint, all tests but those of pages, and dbt's own
	@start=$$SECONDS; $(MAKE) -j 2 beside tests || { \
		echo "make test: failed; what lint and models said: .test/beside.log" >&2; exit 1; }; \
	echo "Passed: $$((SECONDS - start)) s."

beside: .venv/dev
	@mkdir -p .test
	@{ $(MAKE) lint && $(MAKE) models; } >.test/beside.log 2>&1 || { cat .test/beside.log >&2; exit 1; }

tests: .venv/dev ## unit, integration and pipeline at once
	@$(pytest) $(mixed) tests/unit tests/integration tests/pipeline $(addprefix --ignore ,$(pages))

lint: .venv/dev ## ruff, mypy, import-linter, dbt-bouncer and sqlfluff
	@$(MAKE) -j 2 lint-python lint-sql

lint-python:
	@ruff check .
	@ruff format --check .
	@lint-imports --no-cache >/dev/null || lint-imports --no-cache
	@mypy $(wildcard loader tests benchmarks docs)

lint-sql: .test/profiles.yml
	@dbt --quiet --warn-error parse
	@COLUMNS=200 dbt-bouncer run --show-all-failures
	@sqlfluff lint --disable-progress-bar --disregard-sqlfluffignores --templater jinja models/marts/live
	@$(use_server_once) sqlfluff lint --disable-progress-bar $(wildcard models tests/dbt)

unit: .venv/dev ## the loader's parts, without a database
	@$(pytest) -n 2 tests/unit

integration: .venv/dev ## the loader against a real server
	@$(pytest) $(waiting) tests/integration

pipeline: .venv/dev ## loader and dbt together
	@$(pytest) $(working) tests/pipeline $(addprefix --ignore ,$(pages))

docs-test: .venv/dev ## every page and command of the documentation, the site, the board
	@$(pytest) $(working) $(pages)

models: .venv/dev .test/profiles.yml ## dbt build, with all of dbt's tests
	@loader db reset --yes
	@$(use_server_once) \
		loader generate --events 20000 --sources 3 --days 2 --late 0.05 --duplicates 0.01 \
			| loader load --quiet - && \
		dbt --quiet --warn-error build

# What these are about may differ between servers: statements, locks, partitions, plans, roles, and TLS,
# which the PostgreSQL that comes along does not have.
# One test each of the models: those compare with what the law proves on the other server.
on_every_server := $(addprefix tests/pipeline/test_, law.py share_by_source.py roles.py \
		marts.py::test_build_gives_no_warning_on_an_empty_database_and_ever_after \
		marts.py::test_a_batch_does_not_look_at_partitions_that_it_cannot_touch \
		marts.py::test_every_look_up_of_events_is_bounded_by_source_or_load_and_time) \
	$(addprefix tests/integration/test_, \
		copy.py dedupe.py load.py maintain.py migrate.py partitions.py \
		passwords_and_tls.py publish.py retention.py roles.py)

postgres15: .venv/dev ## what depends on the server, again on PostgreSQL 15
	@$(if $(POSTGRES15),$(pytest) $(waiting) --postgres $(POSTGRES15) $(on_every_server), \
		echo "PostgreSQL 15 is not installed here, so that version was not tried.")

citus: .venv/dev ## the same on a cluster: CITUS_DSN=, of a coordinator's database named *test*, which is emptied
	@test -n "$(CITUS_DSN)" || { echo "make citus: name a database: make citus CITUS_DSN='host=...'" >&2; exit 2; }
	@pytest --citus "$(CITUS_DSN)" tests/integration/test_citus.py \
		tests/pipeline/test_citus.py

MINUTES ?= 60

soak: .venv/dev ## the laws and crashes with new seeds, for MINUTES=60
	@end=$$((SECONDS + 60 * $(MINUTES))); \
	while [ $$SECONDS -lt $$end ]; do \
		FUZZ_EXAMPLES=3000 KAFKA_KILLS=300 CRASH_KILLS=300 RANDOM_LOADS=20 READERS_SECONDS=60 \
			LOADERS_PAUSE=0.2 KILLED_ROUNDS=6 SHARE_FAILURES=1000 \
			pytest --quiet \
			tests/pipeline/test_readers.py \
			tests/pipeline/test_marts.py::test_generated_events_in_random_loads \
			tests/pipeline/test_law.py tests/pipeline/test_as_of.py \
			tests/pipeline/test_concurrency.py tests/pipeline/test_share_by_source.py \
			tests/integration/test_crashes.py \
			tests/integration/test_server_crashes.py \
			tests/integration/test_retention_crashes.py \
			tests/integration/test_watch.py \
			tests/pipeline/test_kafka_crashes.py \
			tests/unit/reading tests/unit/times tests/unit/test_generate.py; \
	done

mutations: .venv/dev ## break what promises rest on, one place at a time: does its test notice?
	@python -m tests.mutations

bench: .venv/dev ## measure what it costs, beside other ways; takes long
	@python -m benchmarks.readers
	@python -m benchmarks

# --- the rest ---------------------------------------------------------------------------------

docs: .venv/dev profiles.yml ## the documentation as a site: site/index.html
	@$(use_server) dbt --quiet docs generate --static
	@cog -r --verbosity=0 -I . docs/reference/*.md
	@sphinx-build --quiet --fail-on-warning --keep-going --doctree-dir target/doctrees docs site
	@cp target/static_index.html site/models.html
	@echo "site/index.html"

pictures: .venv/dev ## the pictures of the board in the documentation
	@BOARD_PICTURES=docs/images pytest --quiet tests/pipeline/test_board.py

# In an environment of its own: no code of these tools runs beside ours.
.audit/created: requirements/audit.txt
	@"$(PYTHON)" -m venv .audit
	@.audit/bin/pip install -qq --no-deps --require-hashes -r $<
	@touch $@

# Without its database pip-audit passes packages over, and finds nothing.
audit: .audit/created ## look up known vulnerabilities of all requirements, where PyPI's list is in reach
	@if .audit/bin/python -c 'import requests; requests.get("https://pypi.org/pypi/pip/24.0/json", \
		timeout=10).json()["vulnerabilities"]' 2>/dev/null; then \
		for name in runtime dev; do \
			.audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
				-r requirements/$$name.txt; \
		done; \
	else \
		echo "make audit: PyPI's list of vulnerabilities is out of reach; nothing was looked up."; \
	fi

sbom: .audit/created ## list what a release installs, with hashes: dist/video-events.cdx.json (CycloneDX)
	@mkdir -p dist
	@PYTHONWARNINGS=ignore .audit/bin/cyclonedx-py requirements --pyproject pyproject.toml \
		--output-reproducible --output-file dist/video-events.cdx.json requirements/runtime.txt
	@echo "dist/video-events.cdx.json"

clean: ## remove what can be made again; the embedded server's data stays
	rm -rf .venv .audit .demo .test site target logs build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find loader tests -name __pycache__ -prune -exec rm -rf {} +
