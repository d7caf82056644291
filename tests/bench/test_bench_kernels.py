"""The parts of the comparison of kernels that need no other process."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from panorax.configs.bench import kernels as config
from panorax.configs.bench import kernels_gpu as gpu_config

from panorax.bench import kernels
from panorax.bench.rounds import Measured
from panorax.core.errors import UserError

SETTING = {"operation": "softmax", "case": "odd width"}


def test_contenders_do_the_same_work_and_measure_their_error(tmp_path):
    facts, work = kernels.panorax(SETTING, tmp_path)
    other, _ = kernels.xla(SETTING, tmp_path)
    assert work() == 1 and facts["error"] < 1e-6
    numbers = 2 * 3 * 77
    assert facts["flops"] == other["flops"] == 3 * 5 * numbers
    assert facts["nbytes"] == other["nbytes"] == 3 * 2 * 4 * numbers


def test_a_wrong_kernel_has_an_error(tmp_path, monkeypatch):
    operation, case = kernels.chosen(SETTING)
    wrong = dataclasses.replace(operation, run=lambda x: operation.run(x) + jnp.float32(0.1))
    monkeypatch.setattr(kernels, "chosen", lambda setting: (wrong, case))
    facts, _ = kernels.panorax(SETTING, tmp_path)
    assert facts["error"] == pytest.approx(0.1, rel=1e-3)


def test_shares_and_ratios_come_from_the_rounds(tmp_path, monkeypatch):
    machine = {"backend": "cpu", "flops": 1e9, "bandwidth": 1e6}
    facts = {"flops": 1e6, "nbytes": 1e6, "temporaries_mb": 2.0, "error": 1e-7}

    def compare(contenders, setting, folder, rounds, environment=None):
        if "ceilings" in contenders:
            return {"ceilings": Measured(facts=machine)}
        slow = Measured([0.25], [0.25], facts | {"temporaries_mb": 10.0})
        return {"panorax": Measured([0.5], [0.5], facts), "xla": slow}

    monkeypatch.setattr(kernels, "compare", compare)
    cfg = kernels.Config(cases=(("softmax", "odd width"),))
    metrics = kernels.benchmark(cfg, tmp_path).metrics
    assert metrics["softmax_odd_width_panorax_ratio"] == 2
    assert metrics["softmax_odd_width_share"] == pytest.approx(0.5)  # 5e5 of 1e6 operations/s
    assert metrics["softmax_odd_width_temporaries_ratio"] == 5
    with pytest.raises(UserError, match="needs a gpu, but JAX runs on a cpu"):
        kernels.benchmark(dataclasses.replace(cfg, backend="gpu"), tmp_path)


@pytest.mark.parametrize("module, size", [(config, "cpu"), (gpu_config, "gpu")])
def test_every_configured_case_exists_and_claims_are_about_them(module, size):
    words = set()
    for operation, name in module.get_config().cases:
        _, case = kernels.chosen({"operation": operation, "case": name})
        assert case.size == size and jax.eval_shape(case.arguments, jax.random.key(0))
        words.add(kernels.word(operation, name))
    for claim in module.CLAIMS:
        assert any(claim.metric.startswith(word) for word in words)
