"""Training on probe environments, for the tests of every algorithm."""

import jax
import jax.numpy as jnp
import pytest

from panorax.core.config import module_of
from panorax.core.step import scan_steps
from panorax.rl.environments.environment import Observation

KEY = jax.random.key(0)


def trained(cfg):
    """An algorithm after training on a probe.

    Returns respond(x) -> (mode, value) at views x, and the evaluated return.
    """
    system = module_of(cfg).system(cfg)

    @jax.jit
    def train(key):
        start = system.init_state(key)
        state, _ = scan_steps(system.train_step, start, (), key, cfg.run.steps)
        total, n = system.evaluate(state, (), key)["eval_return"]
        return state, total / n

    state, mean_return = train(KEY)
    envs = module_of(cfg.environment).environments(cfg.environment, cfg.n_envs)

    def respond(x):
        n = len(x)
        observation = Observation(jnp.asarray(x, jnp.float32).reshape(n, 1, 1))
        policy = module_of(cfg.policy).policy(cfg.policy, envs.shape, envs.actions)
        memory, first = policy.empty_memory(n), jnp.zeros((n, 1), bool)
        _, pi, value = policy.apply(state.params, memory, observation, first)
        return pi.mode()[:, 0], value[:, 0]

    return respond, float(mean_return)


@pytest.fixture(name="trained")
def fixture():
    """`respond, mean_return = trained(cfg)`."""
    return trained
