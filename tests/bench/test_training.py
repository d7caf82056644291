"""Our side of the training comparison.

Every run of the comparison checks the competitors: all first losses must agree.
"""

import numpy as np
import pytest

from panorax import catalogue
from panorax.bench import comparison, panorax_llama, training

SIZE = training.Size(
    n_layers=2, d_model=16, n_heads=2, d_ff=24, context=8, batch=2, steps=20
).settings()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    training.prepare(SIZE, np.random.default_rng(0).integers(0, 257, 1000).astype(np.int32), folder)
    return folder


def test_chunks_and_single_steps_have_the_same_losses(folder):
    chunks, work = panorax_llama.chunks(SIZE, folder)
    steps, _ = panorax_llama.step_by_step(SIZE, folder)
    assert chunks["losses"] == pytest.approx(steps["losses"], abs=1e-6)
    assert chunks["losses"][0] == pytest.approx(np.log(257), abs=1)
    assert len({*chunks["losses"]}) == 5
    assert chunks["compile_seconds"] > 0 and work() == 20 * 2 * 8


@pytest.mark.parametrize("name", [entry.name for entry in catalogue.benchmarks()])
def test_comparison_is_complete(name):
    module = comparison.load(name)
    assert type(module.get_config()) is type(module.quick())
    assert module.get_config().rounds >= 5 and module.CLAIMS
    assert hasattr(comparison.config.module_of(module.get_config()), "benchmark")
