# The verbs of development. A site needs none of them: it runs bin/install.
PREFIX := .venv
PYTHON := $(PREFIX)/app/dev/bin/python
APP_BIN := $(PREFIX)/app/dev/bin

.PHONY: help install demo smoke test test-fast lint lock languages bench soak clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## the programs, the app, vLLM for CPU and the tiny model, into .venv; a second run needs no network
	@bin/system-packages
	@bin/install $(PREFIX) --engine cpu --develop

demo: install ## the whole chain in your browser; prints one address
	@$(PYTHON) -m portal demo

smoke: install ## the whole chain unattended, one line per step
	@$(PYTHON) -m portal smoke

test: install ## every test but those of the soak, with real vLLM, Slurm, Apache and Chromium (as root)
	@bin/install-clients $(PREFIX) & clients=$$!; $(MAKE) --no-print-directory lint && wait $$clients
	@$(PYTHON) -m pytest -n 2 --dist loadgroup --ignore=tests/ray -m "not soak"
	@$(PYTHON) -m pytest tests/ray -m "not soak" # two nodes of Ray and vLLM want the machine for themselves

test-fast: install ## the tests that need none of these, under a minute
	@$(PYTHON) -m pytest -n 2 --dist loadgroup -m "not engine and not slurm and not browser and not install"

lint: install ## ruff, mypy, which package may import which, shellcheck
	@$(APP_BIN)/ruff format --check .
	@$(APP_BIN)/ruff check .
	@$(APP_BIN)/mypy
	@$(APP_BIN)/lint-imports --no-cache --no-logo
	@shellcheck bin/install bin/install-clients bin/system-packages requirements/lock .ci/run

lock: install ## resolve requirements/*.lock again; UPGRADE=--upgrade takes newer versions
	@UV=$(abspath $(APP_BIN)/uv) requirements/lock

languages: install ## collect the sentences of the pages for translators, and compile the translations
	@$(PYTHON) -m translation

bench: install ## the form, start-up, recovery, first token, the history, the chat page and the gateway, each a table and a JSON line
	@$(PYTHON) bench/form.py
	@$(PYTHON) bench/startup.py
	@$(PYTHON) -m bench.recovery
	@$(PYTHON) bench/first_token.py
	@$(PYTHON) -m bench.history
	@$(PYTHON) -m bench.chat
	@$(PYTHON) -m bench.gateway --real

soak: install ## the long tests, COUNT smoke tests, every kill at every moment (CASES), and MINUTES of load with kills; as root
	@$(PYTHON) -m pytest -m soak
	@for i in $$(seq $${COUNT:-10}); do echo "round $$i"; $(PYTHON) -m portal smoke || exit 1; done
	@$(PYTHON) -m soak.kills --cases "$${CASES:-*}"
	@$(PYTHON) -m soak.load --minutes $${MINUTES:-30}

clean: ## remove what install, demo and tests left here
	rm -rf $(PREFIX) .demo .pytest_cache .mypy_cache .ruff_cache test-results
