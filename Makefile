# Needs python3 and make, nothing else: the first target that is called makes .venv.
PYTHON ?= python3
PLUGINS := cls det ocr seg slurm
DEV := av build editables hatchling mypy onnx onnxruntime onnxscript playwright pytest pytest-xdist ruff scikit-learn supervision torchmetrics types-PyYAML
BIN := .venv/bin

.PHONY: train test test-slurm lint wheels clean

train: .venv/ready
	$(BIN)/vf run train --task det

test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal

# On a Slurm of its own inside this machine: root, Debian.
test-slurm: .venv/ready
	OMP_NUM_THREADS=1 VF_TEST_SLURM=1 $(BIN)/pytest $(wildcard tests/slurm/test_cluster_*.py)

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Isolated builds would each fetch hatchling; the one of .venv does the same.
wheels: .venv/ready
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .
	for plugin in $(PLUGINS); do $(BIN)/python -m build --wheel --no-isolation --outdir dist plugins/$$plugin || exit 1; done

.venv/ready: pyproject.toml constraints.txt $(PLUGINS:%=plugins/%/pyproject.toml)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(DEV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e . $(PLUGINS:%=-e plugins/%)
	touch $@

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache
