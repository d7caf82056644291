import jax
import pytest
from panorax.configs.hardware import roofline

from panorax.hardware.roofline.study import study


def test_it_has_a_part_for_each_ceiling_and_what_lies_behind():
    parts = study(roofline.smoke())
    assert list(parts) == [
        "memory",
        "arithmetic",
        "habits",
        "precision",
        "divergence",
        "access",
        "latency",
        "placement",
    ]
    metrics = parts["latency"](jax.random.key(0)).metrics
    assert metrics["busy_with_one_warp"] == pytest.approx(20 / 620)
