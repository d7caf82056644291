"""The parts of the comparison of kernels that need no other process."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.bench import kernels as config
from panorax.configs.bench import kernels_gpu as gpu_config

from pallas_kernels.flash_attention import flash_attention
from panorax.bench import kernels, machine
from panorax.bench.libraries import jax_kernels
from panorax.bench.rounds import Measured
from panorax.core.errors import UserError
from panorax.testing.tolerances import LAYER

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
    of_machine = {"backend": "cpu", "flops": 1e9, "bandwidth": 1e6, "state": {"clocks.sm": "1 MHz"}}
    facts = {"flops": 1e6, "nbytes": 1e6, "temporaries_mb": 2.0, "error": 1e-7}

    def compare(contenders, setting, folder, rounds, environment=None, optional=()):
        if "ceilings" in contenders:
            return {"ceilings": Measured(facts=of_machine)}
        slow = Measured([0.25], [0.25], facts | {"temporaries_mb": 10.0})
        return {"panorax": Measured([0.5], [0.5], facts), "xla": slow}

    monkeypatch.setattr(kernels, "compare", compare)
    cfg = kernels.Config(cases=(("softmax", "odd width"),))
    table = kernels.benchmark(cfg, tmp_path)
    metrics = table.metrics
    assert table.machine == of_machine["state"]
    assert metrics["softmax_odd_width_panorax_ratio"] == 2
    assert metrics["softmax_odd_width_share"] == pytest.approx(0.5)  # 5e5 of 1e6 operations/s
    assert metrics["softmax_odd_width_temporaries_ratio"] == 5
    with pytest.raises(UserError, match="needs a gpu, but JAX runs on a cpu"):
        kernels.benchmark(dataclasses.replace(cfg, backend="gpu"), tmp_path)


def test_a_competitor_takes_part_in_its_operations_and_may_refuse_on_a_gpu():
    on_gpu, on_cpu = gpu_config.get_config(), config.get_config()
    libraries = ("torch", "cudnn", "jax_mosaic", "tokamax")
    taking_part = functools.partial(kernels.contenders, on_gpu)
    assert taking_part("flash_attention") == ("panorax", "xla", *libraries)
    assert taking_part("rms_norm") == ("panorax", "xla", "torch", "tokamax")
    assert taking_part("paged_attention") == ("panorax", "xla")
    assert kernels.contenders(on_cpu, "flash_attention") == ("panorax", "xla", "torch")
    assert kernels.may_refuse(on_gpu) == libraries and kernels.may_refuse(on_cpu) == ()
    for name in libraries[1:]:
        function = getattr(jax_kernels, kernels.CONTENDERS[name].partition(":")[2])
        assert sorted(function.args[0]) == sorted(kernels.HAS[name])


def test_libraries_compute_the_operation(monkeypatch):
    """XLA's version of the same call of `jax.nn` stands in for cuDNN's."""
    q, k, v = np.random.default_rng(0).normal(size=(3, 1, 4, 2, 8)).astype(np.float32)
    attend = functools.partial(jax.nn.dot_product_attention)
    xla = lambda *arrays, implementation, **options: attend(*arrays, **options)
    monkeypatch.setattr(jax.nn, "dot_product_attention", xla)
    ours = flash_attention(q, k, v, causal=True)
    theirs = jax_kernels.cudnn_attention(q, k, v, causal=True)
    np.testing.assert_allclose(theirs, ours, **LAYER)


def test_the_state_of_a_gpu_is_what_nvidia_smi_reports(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpu_state() == {}
    fake = tmp_path / "nvidia-smi"
    values = "NVIDIA H200, 580.1, 1980 MHz, 1980 MHz, 3201 MHz, 612.5 W, 700.00 W, 61"
    fake.write_text(f"#!/bin/sh\n/bin/echo '{values}'\n")
    fake.chmod(0o755)
    state = machine.gpu_state()
    assert state["name"] == "NVIDIA H200" and state["power.draw"] == "612.5 W"
    assert tuple(state) == machine.FIELDS


@pytest.mark.parametrize("module, size", [(config, "cpu"), (gpu_config, "gpu")])
def test_every_configured_case_exists_and_claims_are_about_them(module, size):
    words = set()
    for operation, name in module.get_config().cases:
        _, case = kernels.chosen({"operation": operation, "case": name})
        assert case.size == size and jax.eval_shape(case.arguments, jax.random.key(0))
        words.add(kernels.word(operation, name))
    for claim in module.CLAIMS:
        assert any(claim.metric.startswith(word) for word in words)
