import jax
import pytest

import pallas_kernels
from pallas_kernels import proof
from panorax.core.errors import UserError
from panorax.hardware import kernel

SOFTMAX = pallas_kernels.operation("softmax")
KEY = jax.random.key(0)


def test_errors_are_the_largest_of_all_implementations(monkeypatch):
    wrong = {
        "reference": (0.0, 0.0),
        "triton_interpreted": (1e-6, 0.5),
        "tpu_interpreted": (3e-6, 0),
    }
    monkeypatch.setattr(proof, "errors", lambda operation, case, name: wrong[name])
    metrics = kernel.exactness(KEY, SOFTMAX, 100).metrics
    assert metrics["value_error"] == 3e-6 and metrics["gradient_error"] == 0.5
    assert metrics["half_error"] == 0.5 and metrics["implementations"] == 2


def test_traffic_of_softmax_is_counted():
    metrics = kernel.traffic(KEY, SOFTMAX).metrics
    assert metrics["unfused_over_least"] == pytest.approx(4, rel=0.01)
    assert metrics["operations_per_byte"] == 5 / 8


def test_a_program_without_the_kernel_is_not_lowered(monkeypatch):
    full = kernel.lowering(KEY, SOFTMAX, 100).metrics
    pairs = 2 * sum(case.size == "gpu" for case in SOFTMAX.cases)
    assert full == {"lowered": pairs, "not_lowered": 0}
    monkeypatch.setattr(proof, "lowered", lambda *_: "stablehlo.exponential")
    assert kernel.lowering(KEY, SOFTMAX, 100).metrics == {"lowered": 0, "not_lowered": pairs}


def test_an_unknown_operation_is_refused_with_the_names():
    with pytest.raises(UserError, match="softmax.*; got 'softmacks'"):
        kernel.Config("softmacks")
