"""Environments of gymnax and pgx through `Environments`."""

import chex
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
DOWNLOADS = {"MNISTBandit-bsuite"}


def assert_shapes(envs):
    """A step with uniform actions keeps the shapes and dtypes of the state and the observation."""

    def reset_and_step(key):
        state, observation = envs.reset(key)
        action = actions.uniform(envs.actions, observation, envs.n, key)
        return (state, observation), envs.step(key, state, action)

    before, (*after, step) = jax.eval_shape(reset_and_step, KEY)
    chex.assert_trees_all_equal_shapes_and_dtypes(before, tuple(after))
    assert before[1].view.shape == (envs.n, *envs.shape) and isinstance(step, Step)
    chex.assert_shape([step.reward, step.terminated, step.truncated], (envs.n,))


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)
@pytest.mark.parametrize("name", sorted({*gymnax.registered_envs} - DOWNLOADS))
def test_every_environment_of_gymnax_keeps_its_shapes(name):
    with jax.numpy_rank_promotion("allow"):  # gymnax promotes ranks
        assert_shapes(from_gymnax.environments(from_gymnax.Config(name), 3))


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)
@pytest.mark.parametrize("name", ["2048", "tic_tac_toe", "connect_four"])
def test_games_of_pgx_keep_their_shapes(name):
    assert_shapes(from_pgx.environments(from_pgx.Config(name), 3))


def test_cartpole_is_truncated_at_its_limit_with_its_final_observation():
    cfg = from_gymnax.Config("CartPole-v1", (("max_steps_in_episode", 5),))
    envs = from_gymnax.environments(cfg, 2)

    def push(carry, t):
        state, observation = carry
        state, observation, after = envs.step(jax.random.fold_in(KEY, t), state, jnp.full(2, t % 2))
        return (state, observation), (after, observation)

    run = jax.jit(lambda key: jax.lax.scan(push, envs.reset(key), jnp.arange(10)))
    _, (after, following) = run(KEY)
    assert not np.asarray(after.terminated).any()
    np.testing.assert_array_equal(np.flatnonzero(after.truncated[:, 0]), [4, 9])
    assert not np.array_equal(after.observation.view[4], following.view[4])


def test_an_unknown_name_is_answered_by_the_nearest():
    with pytest.raises(UserError, match="did you mean 'CartPole-v1'"):
        from_gymnax.make(from_gymnax.Config("CartPol-v1"))
    with pytest.raises(UserError, match="no parameter 'gravty'"):
        from_gymnax.make(from_gymnax.Config("CartPole-v1", (("gravty", 1.0),)))
