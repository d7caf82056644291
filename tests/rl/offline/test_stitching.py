import jax
import jax.numpy as jnp
import numpy as np

from panorax.rl.offline import dataset, stitching

ROWS = dataset.fitting(
    dataset.checked(stitching.dataset(stitching.Config(2)), "data"),
    stitching.environments(stitching.Config(), 1),
)


def test_the_data_has_the_returns_and_the_steps_of_the_environment():
    np.testing.assert_array_equal(dataset.episode_returns(ROWS), [0, 0, 0.5, 0.5, 1, 1])
    envs = stitching.environments(stitching.Config(), 2)
    state, observation = envs.reset(jax.random.key(0))
    np.testing.assert_array_equal(observation.view, [[1, 0, 0]] * 2)
    state, observation, after = envs.step(jax.random.key(1), state, jnp.array([0, 1]))
    np.testing.assert_array_equal(after.reward, [0, 0.5])
    np.testing.assert_array_equal(after.terminated, [False, True])
    np.testing.assert_array_equal(observation.view, [[0, 1, 0], [1, 0, 0]])
    _, _, after = envs.step(jax.random.key(2), state, jnp.array([1, 0]))
    np.testing.assert_array_equal(after.reward, [stitching.BEST, 0])


def test_dynamic_programming_on_the_data_stitches():
    """Q-iteration over the transitions that the data has; from state 0 no episode returns 1."""
    q = np.zeros((3, 2))
    for _ in range(3):
        for s, n, a, r, end in zip(*(ROWS[name] for name in dataset.TRAINED[:2]), *rest()):
            q[s.argmax(), a] = r if end else r + q[n.argmax()].max()
    assert q[0].max() == stitching.BEST and q[0].argmax() == 0 and q[1].argmax() == 1
    starts = ROWS["view"][:, 0] == 1
    assert (ROWS["reward"][starts] <= stitching.BEST_OF_EPISODES).all()


def rest():
    return (ROWS[name] for name in dataset.TRAINED[2:])
