PYTHON ?= python3
RUN = .venv/bin/panorax run
ORACLES = $(patsubst tests/oracles/requirements/%.txt,%,$(wildcard tests/oracles/requirements/*.txt))
.PHONY: run test check lint oracles bench-check rerecord cuda h200 gpu-check tpu-check lock clean

run: .venv/installed  ## train a small Llama on text that comes with Python
	$(RUN) lm/llama
	@echo "Type next:"
	@echo "  source .venv/bin/activate"
	@echo "  panorax generate --workdir $$(ls -d runs/lm-llama/* | tail -1) --prompt 'def '"
	@echo "  panorax run lm/llama --data.path FILE_OR_FOLDER_OF_YOUR_TEXTS"

test: .venv/tested  ## run all tests
	.venv/bin/python -m pytest -n 2 --dist loadscope --max-worker-restart=0

check: .venv/tested  ## run the tests that the uncommitted change reaches
	.venv/bin/python tests/reach.py

lint: .venv/tested  ## check format and lint; `.venv/bin/ruff format` fixes the format
	.venv/bin/ruff format --check
	.venv/bin/ruff check

oracles: $(ORACLES:%=.venv-oracles/%/installed)  ## regenerate every golden file with its independent implementation, fail if one differs
	$(PYTHON) tests/oracles/regenerate.py

bench-check: .venv-bench/installed  ## rerun quick comparisons and fail if a recorded ratio dropped by more than a quarter
	.venv-bench/bin/panorax bench --check

rerecord: .venv-bench/installed  ## measure again every recorded result whose code has changed
	.venv-bench/bin/panorax records --rerun

cuda: .venv/installed  ## compile the kernels in CUDA C++; needs nvcc
	.venv/bin/python -m pallas_kernels.cuda

h200: .venv-h200/installed  ## compile training steps for 8 H200 GPUs on a CPU; needs PYTHON=python3.12 or newer
	.venv-h200/bin/python tests/deviceless/h200.py

gpu-check: .venv-h200/installed  ## compile every GPU kernel for an H200 on a CPU: registers, spills, shared memory; needs PYTHON=python3.12 or newer
	.venv-h200/bin/python tests/kernels/triton_lowered.py
	.venv-h200/bin/python tests/deviceless/kernels.py

tpu-check: .venv-h200/installed  ## compile every TPU kernel for a TPU v5e on a CPU; needs PYTHON=python3.12 or newer
	.venv-h200/bin/python tests/deviceless/tpu.py

lock:  ## resolve requirements.lock for every Python version
	.ci/lock python3.11 python3.12

.venv/installed: requirements.lock setup.cfg
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	touch $@

.venv/tested: .venv/installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .[test]
	touch $@

.venv-oracles/%/installed: tests/oracles/requirements/%.txt
	$(PYTHON) -m venv .venv-oracles/$*
	.venv-oracles/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	touch $@

.venv-bench/installed: requirements.lock setup.cfg
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .[bench]
	touch $@

.venv-h200/installed: requirements.lock setup.cfg
	$(PYTHON) -m venv .venv-h200
	.venv-h200/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	version=$$(.venv-h200/bin/python -c 'import jax; print(jax.__version__)') && .venv-h200/bin/python -m pip install \
		--quiet --disable-pip-version-check --no-deps jax-cuda13-pjrt==$$version jax-cuda13-plugin==$$version \
		nvidia-cuda-nvcc==13.0.88 nvidia-cuda-nvdisasm==13.2.86 jax-triton==0.4.1 triton==3.8.0 libtpu==0.0.52
	touch $@

clean:
	rm -rf .venv .venv-bench .venv-oracles .venv-h200
