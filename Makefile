# One page of the workshop. Everything runs in .venv; `make demo` and `make test` set it up on a fresh machine.
PYTHON ?= $(or $(shell for name in python3.11 python3.12 python3.13; do command -v $$name && break; done),python3)
BIN := .venv/bin
TEST_WORKERS ?= 2

.PHONY: setup demo test lint bench bench-streaming bench-dictionaries bench-parity bench-study bench-permuted bench-verdict clean

setup: .venv/installed

# --no-compile: Python compiles a module when it is first imported, and few of all are: 78 s become 45 s. It has to keep
# what it compiled, so the variable that forbids it is not passed on.
unexport PYTHONDONTWRITEBYTECODE
.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-compile -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: setup
	$(BIN)/fairfight demo

test: setup
	$(BIN)/python -m pytest -n $(TEST_WORKERS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

bench: setup
	$(BIN)/python benchmarks/harvest.py

# The peers are installed beside each other under .peers, each in an environment of its own (about 2 GB each).
bench-dictionaries: setup
	$(BIN)/python benchmarks/dictionaries.py --out benchmarks/results/dictionaries.json

bench-parity: setup
	$(BIN)/python benchmarks/dictionaries.py --only-environments sae_lens
	.peers/sae_lens/bin/pip install --quiet --disable-pip-version-check numba scikit-learn jaxtyping
	HF_HUB_OFFLINE=1 PYTHONPATH=src .peers/sae_lens/bin/python benchmarks/parity_saelens.py
	HF_HUB_OFFLINE=1 PYTHONPATH=src .peers/sae_lens/bin/python benchmarks/round_trip_saelens.py

# Ten million activations of the embedded model, on the texts that a training file names.
bench-streaming: setup
	$(BIN)/python benchmarks/streaming.py training/streaming.toml

bench-study: setup
	$(BIN)/python benchmarks/study.py studies/quick.toml

bench-permuted: setup
	$(BIN)/python benchmarks/permuted_labels.py

# How often the verdict errs: a thousand studies without a difference of each design (five minutes).
bench-verdict: setup
	$(BIN)/python benchmarks/verdict.py --out benchmarks/results/verdict.json

clean:
	rm -rf .venv .peers runs .fairfight
