"""Worlds of other packages through the one protocol."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.rl.environments import from_gymnax, from_pgx
from panorax.rl.environments.environment import Step
from panorax.rl.policies import actions

KEY = jax.random.key(0)


def traced(envs):
    """Shapes of a reset and of a step with uniform actions; the state keeps its structure."""

    def one(key):
        state, observation = envs.reset(key)
        return (state, observation), envs.step(
            key, state, actions.uniform(envs.actions, observation, envs.n, key)
        )

    (state, observation), (after_state, following, after) = jax.eval_shape(one, KEY)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), (state, observation)) == jax.tree.map(
        lambda x: (x.shape, x.dtype), (after_state, following)
    )
    assert observation.view.shape == (envs.n, *envs.shape) and isinstance(after, Step)
    assert after.reward.shape == after.terminated.shape == after.truncated.shape == (envs.n,)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)
@pytest.mark.parametrize(
    "name", sorted({*gymnax.registered_envs} - {"MNISTBandit-bsuite"})
)  # which downloads MNIST
def test_every_environment_of_gymnax_fits(name):
    with jax.numpy_rank_promotion("allow"):  # theirs, not ours
        traced(from_gymnax.environments(from_gymnax.Config(name), 3))


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)
@pytest.mark.parametrize("name", ["2048", "tic_tac_toe", "connect_four"])
def test_games_of_pgx_fit(name):
    traced(from_pgx.environments(from_pgx.Config(name), 3))


def test_cartpole_is_truncated_at_its_limit_with_its_last_observation():
    envs = from_gymnax.environments(
        from_gymnax.Config("CartPole-v1", (("max_steps_in_episode", 5),)), 2
    )

    def push(carry, t):
        state, observation = carry
        state, observation, after = envs.step(jax.random.fold_in(KEY, t), state, jnp.full(2, t % 2))
        return (state, observation), (after, observation)

    _, (after, following) = jax.jit(
        lambda key: jax.lax.scan(push, envs.reset(key), jnp.arange(10))
    )(KEY)
    cut = np.asarray(after.truncated)
    assert not np.asarray(after.terminated).any()
    np.testing.assert_array_equal(np.flatnonzero(cut[:, 0]), [4, 9])
    assert not np.array_equal(np.asarray(after.observation.view)[4], np.asarray(following.view)[4])


def test_unknown_names_get_the_nearest():
    with pytest.raises(UserError, match="did you mean 'CartPole-v1'"):
        from_gymnax.make(from_gymnax.Config("CartPol-v1"))
    with pytest.raises(UserError, match="no parameter 'gravty'"):
        from_gymnax.make(from_gymnax.Config("CartPole-v1", (("gravty", 1.0),)))
