import jax.numpy as jnp
import numpy as np
import pytest

from panorax.maths import timing


def test_calls_take_turns_after_one_that_does_not_count(monkeypatch):
    now, called = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def call(name, cost):
        def run():
            called.append(name)
            now[0] += cost

        return run

    took = timing.interleaved({"a": call("a", 1.0), "b": call("b", 3.0)}, 2)
    assert called == ["a", "b", "a", "b", "a", "b"]
    assert took == {"a": [1.0, 1.0], "b": [3.0, 3.0]}
    assert timing.seconds(call("c", 2.0), 3) == 2.0 and called.count("c") == 4


def test_rates_count_bytes_and_operations(monkeypatch):
    monkeypatch.setattr(timing, "seconds", lambda call, repeats: call() is None or 2.0)
    assert timing.copy_rate(4096, 2**20) == 2**20 / 2
    assert timing.product_rate(8, jnp.float32) == 2 * 8**3 / 2


def test_the_roofline_has_its_ridge_where_the_ceilings_meet():
    roof = timing.attainable(np.array([0.5, 4.0, 100.0]), 40.0, 10.0)
    np.testing.assert_array_equal(roof, [5.0, 40.0, 40.0])
    assert timing.attainable(4.0, 40.0, 10.0) == pytest.approx(40.0)
