# run, test, lint, bench, bench-gpu, train: each makes .venv by itself when it is missing.
#   make run ARGS="--port 8000"     make test ARGS="-m fast"     make train DEVICE=cuda

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# A newer Python than these has no wheels for some of the requirements yet.
PYTHONS := python3.12 python3.13 python3.11 python3.10 python3 python
# The package index sends Linux the CUDA build of torch, gigabytes of it; a machine without an
# NVIDIA card takes PyTorch's own CPU build instead. `make TORCH_INDEX= ...` leaves that out.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: run test lint bench bench-gpu train
run: $(STAMP)
	$(PY) app.py $(ARGS)

test: $(STAMP)
	$(PY) -m pytest $(ARGS)

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(STAMP)
	$(PY) -m tests.bench $(ARGS)

# Under 9 minutes on one data-centre card; writes bench-gpu.json. ARGS=--toy runs it small, anywhere.
bench-gpu: $(STAMP)
	$(PY) -m tests.bench_gpu $(ARGS)

train: $(STAMP)
	$(PY) -m wan_app.likeness.train $(if $(DEVICE),--device $(DEVICE)) $(ARGS)

$(PY):
	@for python in $(PYTHON) $(PYTHONS); do \
	    if $$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	        echo "Making $(VENV) with $$($$python --version)"; \
	        $$python -m venv $(VENV) || { rm -rf $(VENV); \
	            echo "python: cannot make $(VENV); needed: the venv module (Debian: apt install python3-venv)" >&2; \
	            exit 1; }; \
	        exit 0; \
	    fi; \
	done; echo "python: none of $(strip $(PYTHON) $(PYTHONS)) is 3.10 to 3.13; needed: one (make PYTHON=/path/to/python)" >&2; exit 1

# The stamp is newer than requirements.txt exactly when everything in it is installed.
$(STAMP): requirements.txt | $(PY)
	@if [ -n "$(TORCH_INDEX)" ] && [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null \
	    && ! $(PY) -c 'import torch' 2>/dev/null; then \
	    $(PY) -m pip install --quiet --no-deps --retries 0 --timeout 10 --index-url $(TORCH_INDEX) \
	        "$$(grep -o '^torch==[^ ]*' requirements.txt)" \
	        || echo "PyTorch's CPU build is out of reach; taking the package index's own."; \
	fi
	$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@
