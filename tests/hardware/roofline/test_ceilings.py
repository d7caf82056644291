import jax
import pytest

from panorax.hardware.roofline import ceilings

KEY = jax.random.key(0)


def test_bandwidth_is_measured_in_bytes_of_each_array(monkeypatch):
    asked = []
    rates = iter([9e9, 3e9])
    monkeypatch.setattr(ceilings, "copy_rate", lambda *args: asked.append(args) or next(rates))
    metrics = ceilings.memory(KEY, (16, 1024), 2).metrics
    assert asked == [(16 * 1024, 2 * 2**20), (1024 * 1024, 2 * 2**20)]
    assert metrics == {"memory_gb_per_s": 3.0, "cache_gb_per_s": 9.0, "cache_over_memory": 3.0}


def test_products_are_timed_in_both_dtypes(monkeypatch):
    monkeypatch.setattr(ceilings, "product_rate", lambda n, dtype: n * dtype.itemsize * 1e9)
    metrics = ceilings.arithmetic(KEY, 8).metrics
    assert metrics["gflops_float32"] == 32
    assert metrics["bfloat16_over_float32"] == pytest.approx(0.5)


def test_habits_are_ratios_of_each_round(monkeypatch):
    took = {"one": [1.0, 2.0], "both": [3.0, 6.0], "neighbours": [4.0, 4.0], "apart": [1.0, 1.0]}

    def interleaved(calls, repeats):
        assert [float(call().size) for call in calls.values()] == [32, 32, 1, 1] and repeats == 2
        return took

    monkeypatch.setattr(ceilings, "interleaved", interleaved)
    metrics = ceilings.habits(KEY, 32, 2).metrics
    assert metrics == {"both_branches_over_one": 3.0, "strided_read_slowdown": 4.0}
