import jax
import pytest

import pallas_kernels
from panorax.hardware.roofline import placement as module


def test_every_kernel_is_placed_by_its_cost(monkeypatch):
    monkeypatch.setattr(module, "product_rate", lambda *_: 100.0)
    monkeypatch.setattr(module, "copy_rate", lambda *_: 10.0)
    monkeypatch.setattr(module, "seconds", lambda call: call() is None or 2.0)
    one = {"softmax": pallas_kernels.operations()["softmax"]}
    monkeypatch.setattr(pallas_kernels, "operations", lambda: one)
    result = module.placement(jax.random.key(0), "small", 4, 64)
    numbers = 2 * 3 * 77
    assert result.metrics["ridge"] == 10
    assert result.metrics["intensity_softmax"] == 5 / 8  # operations and bytes of a float32
    assert result.metrics["share_softmax"] == pytest.approx(5 * numbers / 2 / (5 / 8 * 10))
