# One file of verbs; `make help` lists them. Everything runs in .venv, which the first verb creates.
PYTHON ?= python3
CONSTRAINTS ?= constraints/cpu.txt
PIP_FLAGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow lint type fmt golden bench screenshots exploits gpu soak ray clean

help: ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/.ok ## create the environment (CONSTRAINTS= on a CUDA machine)

.venv/.ok: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(PIP_FLAGS) $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) -e '.[dev]'
	touch $@

demo: .venv/.ok ## optimize convt3d for the 4090: no GPU, no API key
	$(BIN)/agent optimize --problem convt3d --gpu 4090

test: .venv/.ok ## the whole test suite (its 200 processes must not compile our sources each)
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

slow: .venv/.ok ## the long forms that `make test` leaves out
	$(BIN)/pytest -n 2 -m slow --ignore=tests/faults

lint: .venv/.ok ## ruff and the layer contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: .venv/.ok ## mypy --strict
	$(BIN)/mypy

fmt: .venv/.ok ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: .venv/.ok ## rewrite the golden files after reading the difference
	UPDATE_GOLDEN=1 $(BIN)/pytest -q tests/golden tests/prompts
	git --no-pager diff --stat tests/golden

bench: .venv/.ok ## speed and memory, reported
	$(BIN)/python tests/bench.py

screenshots: .venv/.ok ## the pictures of docs/img, of a recorded run (RUN=path; needs Chromium)
	$(BIN)/python tests/screenshots.py $(RUN)

exploits: .venv/.ok ## every cheat and every honest file, an hour of hangs and bombs included
	$(BIN)/pytest -m exploits tests/exploits --timeout 900

gpu: .venv/.ok ## the tests that need an NVIDIA GPU
	$(BIN)/pytest -m gpu

soak: .venv/.ok ## an hour of mixed candidates and kills (AGENT_SOAK_SECONDS= ends each earlier)
	$(BIN)/pytest -s -m soak tests/faults --timeout 0

ray: .venv/.ok ## the Ray engine on a simulated cluster of three nodes (needs: pip install ray)
	$(BIN)/pytest -m ray tests/agent/engines

clean: ## remove the environment
	rm -rf .venv
