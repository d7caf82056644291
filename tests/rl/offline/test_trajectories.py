"""Returns-to-go, time steps, the best episodes and windows, by loops over episodes in numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.rl.offline import trajectories
from panorax.testing.tolerances import NUMBER

LENGTHS = (4, 1, 3)
K = 3


def data(lengths=LENGTHS, unfinished=2):
    """Episodes of these lengths, terminated and truncated in turn, and an unfinished one."""
    rng = np.random.default_rng(0)
    M = sum(lengths) + unfinished
    last = np.cumsum(lengths, dtype=int) - 1
    terminated, truncated = np.zeros((2, M), bool)
    terminated[last[::2]], truncated[last[1::2]] = True, True
    return {
        "view": rng.normal(size=(M, 2)).astype(np.float32),
        "next_view": rng.normal(size=(M, 2)).astype(np.float32),
        "action": np.arange(M, dtype=np.int32),
        "reward": rng.normal(size=M).astype(np.float32),
        "terminated": terminated,
        "truncated": truncated,
    }


def test_returns_to_go_and_time_steps_of_finished_episodes():
    rows = data()
    steps = trajectories.trajectories(rows)
    starts = np.cumsum((0, *LENGTHS))[:-1]
    rewards = [rows["reward"][a : a + n] for a, n in zip(starts, LENGTHS)]
    to_go = [r[t:].sum() for r in rewards for t in range(len(r))]
    np.testing.assert_allclose(steps.return_to_go, to_go, **NUMBER)
    np.testing.assert_array_equal(steps.timestep, [0, 1, 2, 3, 0, 0, 1, 2])
    np.testing.assert_array_equal(steps.action, np.arange(8))


def test_windows_hold_the_steps_of_one_episode_right_aligned():
    steps = trajectories.trajectories(data())
    row_B = np.array([0, 1, 3, 4, 7])
    window = trajectories.windows(steps, row_B, K)
    np.testing.assert_array_equal(
        np.where(window["mask"], window["action"], -1),
        [[-1, -1, 0], [-1, 0, 1], [1, 2, 3], [-1, -1, 4], [5, 6, 7]],
    )
    assert window["view"].shape == (5, K, 2) and window["timestep"].dtype == np.int32
    np.testing.assert_array_equal(window["timestep"][:, -1], [0, 1, 3, 0, 2])
    jitted = trajectories.windows(type(steps)(*map(jnp.asarray, steps)), jnp.asarray(row_B), K)
    for name, x in window.items():
        np.testing.assert_array_equal(jitted[name], x)


@pytest.mark.parametrize("share, episodes", [(0.1, 1), (0.4, 2), (1.0, 3)])
def test_the_best_episodes_have_the_highest_returns(share, episodes):
    rows = data()
    rows["reward"] = np.float32([0, 0, 0, 1, 9, 1, 1, 1, 50, 50])
    kept = trajectories.best(rows, share)
    expected = {1: [4], 2: [4, 5, 6, 7], 3: [*range(8)]}[episodes]
    np.testing.assert_array_equal(kept["action"], expected)


def test_data_without_a_finished_episode_is_refused():
    with pytest.raises(UserError, match="no finished episode: set terminated or truncated"):
        trajectories.trajectories(data((), 3))
