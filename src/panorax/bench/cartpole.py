"""CartPole-v1 with random actions: our environments, gymnax, and gymnasium's vector CartPole."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp

from panorax.engine.loop import Clock
from panorax.rl.environments import from_gymnax

STEPS = 1000


def panorax(setting: dict, folder: Path):
    """Our vectorised environments, `panorax.rl.environments.wrappers.vectorize`."""
    n = setting["n_envs"]
    envs = from_gymnax.environments(from_gymnax.Config(), n)
    state, _ = envs.reset(jax.random.key(0))

    def step(state, key):
        key_act, key_step = jax.random.split(key)
        state, _, after = envs.step(key_step, state, jax.random.randint(key_act, (n,), 0, 2))
        return state, (jnp.sum(after.reward), jnp.sum(after.terminated | after.truncated))

    return _scanned(step, state, n)


def gymnax(setting: dict, folder: Path):
    """gymnax's own `step` with automatic resets, under vmap."""
    import gymnax as library

    n = setting["n_envs"]
    env, params = library.make("CartPole-v1")
    _, state = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), n), params)

    def step(state, key):
        key_act, key_step = jax.random.split(key)
        action = jax.random.randint(key_act, (n,), 0, 2)
        _, state, reward, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(
            jax.random.split(key_step, n), state, action, params
        )
        return state, (jnp.sum(reward), jnp.sum(terminated | truncated))

    return _scanned(step, state, n)


def _scanned(step, state, n: int):
    clock, key = Clock(), jax.random.key(1)

    def run(state, key):
        state, (reward, ended) = jax.lax.scan(step, state, jax.random.split(key, STEPS))
        return state, jnp.sum(reward) / jnp.sum(ended)

    state = jax.tree.map(jnp.asarray, state)
    program = clock.compile(run, state, key, donate_argnums=0)
    facts = {"compile_seconds": clock.compiling, "version": jax.__version__}
    rounds = itertools.count()

    def work():
        nonlocal state
        for _ in range(10):
            state, mean_return = program(state, jax.random.fold_in(key, next(rounds)))
        facts["return"] = float(mean_return)
        return 10 * n * STEPS

    return facts, work


def numpy_vector(setting: dict, folder: Path):
    """gymnasium's `CartPoleVectorEnv`; steps that only reset an episode do not count."""
    import gymnasium
    import numpy as np

    n, rng = setting["n_envs"], np.random.default_rng(0)
    env = gymnasium.make_vec("CartPole-v1", num_envs=n, vectorization_mode="vector_entry_point")
    env.reset(seed=0)
    facts = {"version": gymnasium.__version__}

    def work():
        reward, ended = 0.0, 0
        for _ in range(STEPS):
            _, r, terminated, truncated, _ = env.step(rng.integers(0, 2, n))
            reward += r.sum()
            ended += (terminated | truncated).sum()
        facts["return"] = reward / ended
        return int(reward)

    return facts, work
