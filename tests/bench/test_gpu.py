"""The comparison on a GPU, as far as a CPU can tell."""

import dataclasses

import jax
import pytest
from panorax.configs.bench import gpu as config

from panorax.bench import gpu, panorax_llama
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.lm import language_model
from panorax.maths import cost


def test_the_operations_of_a_token_are_those_of_the_program():
    size = dataclasses.replace(config.TINY, n_layers=3, context=24, vocab=300)
    system = language_model.system(panorax_llama.config(size.settings()))
    state = jax.eval_shape(system.init_state, jax.random.key(0))
    counted = cost.flops(jax.make_jaxpr(system.train_step)(state, system.batch, jax.random.key(0)))
    assert size.flops() * size.batch * size.context == pytest.approx(counted, rel=1e-3)


def test_sizes_are_what_they_are_called():
    counts = {
        name: language_model.system(panorax_llama.config(size.settings())).spec
        for name, size in config.SIZES.items()
    }
    counts = {name: core_spec.count(spec) for name, spec in counts.items()}
    assert counts["124m"] == pytest.approx(124e6, rel=0.01) and 1.0e9 < counts["1b"] < 1.3e9


def test_products_of_matrices_neither_vanish_nor_grow(tmp_path):
    facts, work = gpu.products({"matrix": 64}, tmp_path)
    assert work() == 2 * 64**3 * gpu.TIMES and 0.1 < facts["size"] < 100


def test_a_machine_without_a_gpu_is_told_so(tmp_path):
    with pytest.raises(
        UserError, match=r"needs a gpu, JAX sees a cpu here; `pip install -e .\[gpu\]`"
    ):
        gpu.benchmark(dataclasses.replace(config.get_config(), matrix=64, rounds=1), tmp_path)
