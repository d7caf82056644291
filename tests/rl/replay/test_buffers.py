import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl.replay.buffers import Prioritized, Uniform, buffer
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
N, CAPACITY, L = 2, 6, 3
ROLLOUT = {"time": jnp.arange(L)[:, None] + 10 * jnp.arange(N)[None]}  # L, N


@pytest.mark.parametrize("cfg", [Uniform(), Prioritized()])
@pytest.mark.parametrize("length", [1, 2])
def test_a_buffer_draws_consecutive_rows(cfg, length):
    kind = buffer(cfg, length)
    row = {"time": jnp.zeros(N, jnp.int32)}
    memory = kind.add(kind.empty(row, CAPACITY), ROLLOUT)
    sample = kind.draw(memory, KEY, 40, 0.5)
    assert sample.rows["time"].shape == (40, length) and sample.weight.shape == (40,)
    assert (np.diff(sample.rows["time"], axis=1) == 1).all()
    starts = {int(t) for t in sample.rows["time"][:, 0]}
    assert starts == {t + 10 * n for t in range(L + 1 - length) for n in range(N)}
    np.testing.assert_array_equal(sample.weight, np.ones(40))


@pytest.mark.parametrize("progress, beta", [(0.0, 0.4), (1.0, 1.0)])
def test_large_priorities_are_drawn_often_and_weigh_little(progress, beta):
    kind = buffer(Prioritized(alpha=0.5, beta=0.4, floor=1e-3), 1)
    memory = kind.add(kind.empty({"time": jnp.zeros(N, jnp.int32)}, CAPACITY), ROLLOUT)
    index = jnp.array([0, 1, 2, 6, 7, 8])
    memory = kind.revise(memory, index, jnp.array([9, 1, 1, 1, 1, 1]) - 1e-3)
    sample = kind.draw(memory, KEY, 80, progress)
    is_large = np.asarray(sample.index) == 0
    assert is_large.sum() == 30  # 3 / 8 of the draws
    np.testing.assert_allclose(sample.weight[is_large], 3.0**-beta, **LAYER)


def test_uniform_replay_has_no_priorities():
    kind = buffer(Uniform(), 1)
    memory = kind.add(kind.empty({"time": jnp.zeros(N, jnp.int32)}, CAPACITY), ROLLOUT)
    assert kind.revise(memory, jnp.arange(2), jnp.ones(2)) is memory
