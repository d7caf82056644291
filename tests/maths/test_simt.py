import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.maths import simt

lanes = st.lists(st.integers(0, 4000), min_size=32, max_size=32)


@given(lanes)
def test_counts_equal_sets_in_python(words):
    address = jnp.array(words) * 4
    assert simt.passes(jnp.array(words)) == len(set(words))
    assert simt.sectors(address) == len({4 * word // 32 for word in words})
    wanted = [len({word for word in words if word % 32 == bank}) for bank in range(32)]
    assert simt.bank_passes(address) == max(wanted)


def test_a_strided_access_needs_the_sectors_and_passes_of_the_programming_guide():
    assert [int(simt.sectors(simt.strided(s))) for s in (1, 2, 4, 8, 32)] == [4, 8, 16, 32, 32]
    for stride in (1, 2, 3, 7, 16, 32, 33, 48):
        assert simt.bank_passes(simt.strided(stride)) == math.gcd(stride, 32)
    assert simt.bank_passes(jnp.zeros(32, int)) == 1  # a broadcast


def test_warps_are_counted_one_by_one():
    branch = np.stack([np.zeros(32, int), np.arange(32) % 2, np.arange(32)])
    np.testing.assert_array_equal(simt.passes(branch), [1, 2, 32])
    assert simt.expected_passes(0.0) == 1 and simt.expected_passes(0.5) == pytest.approx(2)


@pytest.mark.parametrize(
    "kernel, share",
    [  # the tables of NVIDIA's occupancy calculator for compute capability 9.0
        ((256, 32, 0), 1.0),
        ((256, 64, 0), 0.5),
        ((256, 128, 0), 0.25),
        ((1024, 64, 0), 0.5),
        ((128, 255, 0), 0.125),
        ((64, 32, 0), 1.0),
        ((32, 32, 0), 0.5),  # 32 blocks of one warp
        ((96, 96, 0), 0.28125),  # registers for 21 warps, given out for 4 at a time
        ((256, 32, 100_000), 0.25),  # two blocks share the memory
    ],
)
def test_occupancy_is_that_of_the_calculator(kernel, share):
    assert simt.occupancy(*kernel) == share


@pytest.mark.parametrize("warps", [1, 3, 10, 31, 40])
def test_latency_is_hidden_as_littles_law_says(warps):
    busy = simt.utilisation(warps, 10, 300)
    assert busy == pytest.approx(min(1, warps * 10 / 310), rel=1e-12)
