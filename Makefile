# make setup | demo [CAPTURE=folder MARKS=file] | test | test-window | package | sample | bench | lint
PYTHON ?= python3.11
PY := .venv/bin/python
PY50 := .venv-5.0/bin/python

.PHONY: setup demo test test-window package sample bench lint

setup: .venv/.ready

.venv/.ready: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q -c constraints.txt torch numpy scikit-image scipy safetensors trimesh av h5py OpenEXR xatlas fast-simplification coacd pycocotools pytest pytest-xdist hypothesis ruff uv bpy
	touch $@

# Blender 5.0 for the second, smaller run; its backend runs on .venv.
.venv-5.0/.ready: Makefile
	$(PYTHON) -m venv .venv-5.0
	.venv-5.0/bin/pip install -q bpy==5.0.1 numpy==1.26.4 scikit-image==0.26.0 scipy==1.17.1 pytest==9.2.0 pytest-xdist==3.8.0 hypothesis==6.170.15
	touch $@

demo: setup
	$(PY) scripts/demo.py $(if $(CAPTURE),--capture "$(CAPTURE)") $(if $(MARKS),--marks "$(MARKS)")

# Two processes of one thread each: two threads that wait for each other are slower than one.
test: export OMP_NUM_THREADS = 1
test: setup .venv-5.0/.ready
	$(PY) -m ruff check .
	$(PY) -m pytest -n 2 --dist loadfile tests --ignore=tests/window --ignore=tests/blender
	$(PY) -m pytest -n 2 --dist loadfile tests/blender
	CLICKFIELD_PYTHON=$(CURDIR)/$(PY) $(PY50) -m pytest -n 2 --dist loadfile tests/blender

test-window: setup
	$(PY) -m pytest tests/window

package: setup
	$(PY) scripts/build_zip.py

sample: setup
	$(PY) scripts/make_sample.py

bench: setup
	$(PY) benchmarks/main_job.py

lint: setup
	$(PY) -m ruff check . && $(PY) -m ruff format --check .
