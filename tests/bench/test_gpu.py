"""The parts of the GPU comparison that a CPU can check."""

import dataclasses

import jax
import pytest
from panorax.configs.bench import gpu as config

from panorax.bench import gpu, panorax_llama
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.lm import language_model
from panorax.maths import cost


def test_flops_per_token_equal_the_count_of_the_training_program():
    size = dataclasses.replace(config.TINY, n_layers=3, context=24, vocab=128)
    system = language_model.system(panorax_llama.config(size.settings()))
    state = jax.eval_shape(system.init_state, jax.random.key(0))
    counted = cost.flops(jax.make_jaxpr(system.train_step)(state, system.batch, jax.random.key(0)))
    assert size.flops() * size.batch * size.context == pytest.approx(counted, rel=1e-3)


def test_sizes_have_the_parameters_of_their_names():
    specs = {
        name: language_model.system(panorax_llama.config(size.settings())).spec
        for name, size in config.SIZES.items()
    }
    counts = {name: core_spec.count(spec) for name, spec in specs.items()}
    assert counts["124m"] == pytest.approx(124e6, rel=0.01) and 1.0e9 < counts["1b"] < 1.3e9


def test_repeated_matrix_products_keep_their_scale(tmp_path):
    facts, work = gpu.products({"matrix": 64}, tmp_path)
    assert work() == 2 * 64**3 * gpu.TIMES and 0.1 < facts["size"] < 100


def test_another_backend_is_refused(tmp_path):
    message = r"needs a gpu, but JAX runs on a cpu; .* run `pip install -e .\[gpu\]`"
    with pytest.raises(UserError, match=message):
        gpu.benchmark(dataclasses.replace(config.get_config(), matrix=64, rounds=1), tmp_path)
