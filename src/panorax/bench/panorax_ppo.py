"""Panorax as a contender in PPO comparisons: the program of `panorax run rl/ppo` on CartPole-v1."""

from pathlib import Path

import jax

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.core.state import System
from panorax.core.step import scan_steps
from panorax.engine.loop import Clock
from panorax.rl import ppo
from panorax.rl.environments.from_gymnax import Config as CartPole

EVAL_EPISODES = 20
CHUNK = 10
SOLVED = 475.0


def config(setting: dict) -> ppo.Config:
    """The config of a `panorax.bench.ppo.Setting`."""
    optim = AdamW(peak_lr=setting["learning_rate"], schedule="linear", b2=0.999, eps=1e-5, clip=0.5)
    steps = setting["total"] // (setting["n_envs"] * setting["length"])
    return ppo.Config(
        environment=CartPole(),
        optim=optim,
        run=Run(steps=steps, chunk=CHUNK),
        eval_episodes=EVAL_EPISODES,
        seeds=0,
        n_envs=setting["n_envs"],
        length=setting["length"],
        epochs=setting["epochs"],
        minibatches=setting["minibatches"],
        discount=setting["discount"],
        gae_lambda=setting["lambda_"],
        clip=setting["clip"],
        entropy_weight=setting["entropy_weight"],
    )


def training(setting: dict, folder: Path):
    """Training in compiled chunks of `CHUNK` iterations, as many as a round needs."""
    return training_of(ppo.system(config(setting)), CHUNK, setting["round"])


def training_of(system: System, chunk: int, round: int):
    """Facts, and the work of a round: at least `round` environment steps in compiled chunks.

    chunk: training steps of the compiled program.
    """
    clock, key = Clock(), jax.random.key(0)
    state = clock.once(system.init_state, key)
    program = clock.compile(
        lambda state: scan_steps(system.train_step, state, (), key, chunk), state, donate_argnums=0
    )
    facts = {"compile_seconds": clock.compiling, "version": jax.__version__}
    units = chunk * system.per_step["environment_steps"]
    chunks = -(-round // units)

    def work():
        nonlocal state
        for _ in range(chunks):
            state, metrics = program(state)
        facts["return"] = float(metrics["return"])
        return chunks * units

    return facts, work


def one_seed(setting: dict, folder: Path):
    return _side_by_side(1, setting)


def four_seeds(setting: dict, folder: Path):
    return _side_by_side(4, setting)


def sixteen_seeds(setting: dict, folder: Path):
    return _side_by_side(16, setting)


def _side_by_side(seeds: int, setting: dict):
    """Trains `seeds` seeds at once; units are environment steps over all seeds."""
    clock, cfg = Clock(), config(setting)
    system, key = ppo.system(cfg), jax.random.key(0)
    keys = jax.random.split(key, seeds)
    state = clock.once(jax.vmap(system.init_state), keys)
    chunk = jax.vmap(lambda state: scan_steps(system.train_step, state, (), key, CHUNK))
    program = clock.compile(chunk, state, donate_argnums=0)

    def work():
        nonlocal state
        for _ in range(10):
            state, metrics = program(state)
        facts["return"] = float(metrics["return"].mean())
        return 10 * seeds * CHUNK * cfg.n_envs * cfg.length

    facts = {"compile_seconds": clock.compiling, "version": jax.__version__}
    return facts, work


def until_solved_cold(setting: dict, folder: Path):
    """Training to the solution without a compilation cache."""
    jax.config.update("jax_enable_compilation_cache", False)
    return _until_solved(setting)


def until_solved_warm(setting: dict, folder: Path):
    """Training to the solution with a warm compilation cache, as in a user's second run."""
    jax.config.update("jax_compilation_cache_dir", str(folder / "cache"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return _until_solved(setting)


def _until_solved(setting: dict):
    """Trains to a mean return of `SOLVED`, or for `total` environment steps.

    Evaluates `EVAL_EPISODES` episodes of the most probable action every 4,096 steps.
    """
    clock, cfg = Clock(), config(setting)
    system, steps = ppo.system(cfg), 4096 // (cfg.n_envs * cfg.length)
    key_init, key_train, key_eval = jax.random.split(jax.random.key(setting["seed"]), 3)
    state = clock.once(system.init_state, key_init)

    def chunk(state, key_train, key_eval):
        state, _ = scan_steps(system.train_step, state, (), key_train, steps)
        return state, system.evaluate(state, (), key_eval)["eval_return"]

    program = clock.compile(chunk, state, key_train, key_eval, donate_argnums=0)
    mean_return, best = 0.0, 0.0
    while int(state.step) < cfg.run.steps and best < SOLVED:
        state, mean_return = program(state, key_train, key_eval)
        best = max(best, float(mean_return))
    facts = {
        "return": best,
        "steps": int(state.step) * cfg.n_envs * cfg.length,
        "compile_seconds": clock.compiling,
        "version": jax.__version__,
    }
    return facts, lambda: 1
