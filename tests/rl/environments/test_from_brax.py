"""Environments of Brax through `Environments`, beside Brax's own steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.rl.environments import from_brax
from panorax.rl.environments.environment import Box
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
envs = pytest.importorskip("brax.envs")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_steps_equal_those_of_brax_and_a_fallen_pendulum_terminates():
    cfg = from_brax.Config("inverted_pendulum", backend="spring", max_steps=6)
    env = from_brax.make(cfg)
    assert env.shape == (4,) and env.actions == Box((-1.0,), (1.0,)) and env.max_steps == 6

    def push(carry, _):
        state, own = carry
        state, after = env.step(KEY, state, jnp.ones(1))
        own = source.step(own, jnp.ones(1))
        return (state, own), (after, own.obs, own.reward, own.done)

    source = envs.get_environment("inverted_pendulum", backend="spring")
    with jax.numpy_rank_promotion("allow"):  # Brax promotes ranks
        run = lambda key: jax.lax.scan(push, (env.reset(key)[0], source.reset(key)), length=8)[1]
        after, view, reward, done = jax.jit(run)(KEY)
    np.testing.assert_allclose(after.observation.view, view, **LAYER)
    np.testing.assert_allclose(after.reward, reward, **LAYER)
    np.testing.assert_array_equal(after.terminated, done > 0)
    assert np.any(done > 0)
    late = np.arange(8) >= 5
    np.testing.assert_array_equal(after.truncated, late & ~np.asarray(after.terminated))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_an_unknown_environment_or_a_backend_that_it_lacks_is_named():
    with pytest.raises(UserError, match="did you mean 'hopper'"):
        from_brax.make(from_brax.Config("hoper"))
    with pytest.raises(UserError, match="swimmer of Brax has no backend spring"):
        from_brax.make(from_brax.Config("swimmer", backend="spring"))
