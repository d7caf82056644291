import jax
import pytest

from panorax.hardware.roofline import warps

KEY = jax.random.key(0)


def test_half_of_the_threads_make_a_warp_execute_both_branches():
    metrics = warps.divergence(KEY, 4000).metrics
    assert metrics["passes_even"] == pytest.approx(2, abs=1e-3)
    assert metrics["passes_largest_error"] < 0.03


def test_padding_a_row_of_shared_memory_removes_its_conflicts():
    metrics = warps.access(KEY).metrics
    assert metrics["bank_passes_of_stride_32"] == 32
    assert metrics["bank_passes_of_stride_33"] == 1
    assert metrics["sectors_of_stride_32"] == 8 * metrics["sectors_of_neighbours"]


def test_more_warps_keep_the_multiprocessor_busy():
    metrics = warps.latency(KEY, 20, 600).metrics
    assert metrics["busy_with_one_warp"] == pytest.approx(20 / 620)
    assert metrics["busy_with_all_warps"] == 1
    assert metrics["littles_law_largest_error"] < 1e-9
