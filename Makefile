# What each target does is in devserver/, one script per step; `make help` lists them.
# PG_CONFIG, DESTDIR, PYTHON and EXTRAS may be given as make variables or in the environment.

.DEFAULT_GOAL := help
.PHONY: help demo test torture up url psql down install installcheck bench bench-large lint clean

help: ## list the targets
	@echo "tiny_dancer: a router for AI agents that lives in PostgreSQL"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1 \2/p' Makefile | \
	while read -r target what; do printf '  make %-13s %s\n' "$$target" "$$what"; done

demo: up ## set everything up and show routing at work
	@.dev/venv/bin/python -m tiny_dancer.cli demo --url "$$(devserver/url.sh)"

test: up ## run every check and test (TESTS=path narrows the Python tests)
ifdef TESTS
	@devserver/pytest.sh $(TESTS)
else
	@devserver/lint.sh
	@devserver/pytest.sh
	@devserver/installcheck.sh
endif

torture: up ## put it under load and faults, within ten minutes (SEED=1 TORTURE_SECONDS=60)
	@devserver/torture.sh $(TESTS)

up: ## start or reuse the throw-away server, with the extension set up
	@devserver/up.sh

url: ## print the connection URL of the throw-away server
	@devserver/url.sh

psql: ## open psql on the throw-away server (PSQL_ARGS='-c "SELECT 1"')
	@devserver/psql.sh $(PSQL_ARGS)

down: ## stop the throw-away server
	@devserver/down.sh

install: ## install into a real server (PG_CONFIG=..., DESTDIR=..., PYTHON=..., EXTRAS=routing-semantic)
	@devserver/install.sh

installcheck: up ## run pg_regress against the throw-away server
	@devserver/installcheck.sh

bench: up ## run every benchmark; writes benchmarks/results.md (takes about 25 minutes)
	@.dev/venv/bin/python benchmarks/run_all.py --url "$$(devserver/url.sh)"

bench-large: up ## match a million semantic routes (takes an hour and 16 GB)
	@.dev/venv/bin/python benchmarks/semantic_routes.py --url "$$(devserver/url.sh)" \
		--routes 1000 100000 1000000 --repeats 5

lint: ## check style, format and types
	@devserver/lint.sh

clean: ## stop the throw-away server and remove all that set-up made
	@devserver/clean.sh
