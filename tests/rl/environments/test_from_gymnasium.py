"""Environments of gymnasium through `Environments`."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax import cli
from panorax.core import config
from panorax.core.errors import UserError
from panorax.rl.environments import from_gymnasium as host
from panorax.rl.environments import from_gymnax, from_pgx, probes
from panorax.rl.environments.environment import Box, Discrete
from panorax.rl.ppo import Config

KEY = jax.random.key(0)


def test_cartpole_terminates_and_resets_automatically():
    envs = host.environments(host.Config("CartPole-v1"), 2)
    assert envs.shape == (4,) and envs.actions == Discrete(2) and envs.max_steps == 500

    def push(carry, _):
        state, _ = carry
        state, observation, after = envs.step(KEY, state, jnp.ones(2, jnp.int32))
        return (state, observation), (after, observation)

    _, (after, following) = jax.jit(lambda key: jax.lax.scan(push, envs.reset(key), length=30))(KEY)
    ended = np.asarray(after.terminated)
    assert ended.any() and not np.asarray(after.truncated).any()
    assert (np.asarray(after.reward) == 1).all()
    last, first = np.asarray(after.observation.view), np.asarray(following.view)
    assert (np.abs(last[ended][:, 2]) > 0.2).all() and (np.abs(first[ended]) <= 0.05).all()
    np.testing.assert_array_equal(last[~ended], first[~ended])


def test_a_time_limit_truncates_and_actions_are_in_the_unit_box():
    envs = host.environments(host.Config("Pendulum-v1"), 1)
    assert envs.actions == Box((-1.0,), (1.0,))

    def push(carry, _):
        state, observation, after = envs.step(KEY, carry, jnp.ones((1, 1)))
        return state, after

    _, after = jax.jit(lambda key: jax.lax.scan(push, envs.reset(key)[0], length=200))(KEY)
    np.testing.assert_array_equal(np.flatnonzero(after.truncated), [199])
    assert not np.asarray(after.terminated).any()


def test_an_unknown_environment_is_refused():
    with pytest.raises(UserError, match="cannot make 'CartPol-v7': "):
        host.environments(host.Config("CartPol-v7"), 1)


TINY = [
    "--environment.name=Acrobot-v1",
    "--n-envs=2",
    "--length=4",
    "--epochs=1",
    "--minibatches=1",
    "--eval-episodes=1",
    "--run.chunk=1",
]


def run(*options):
    return cli.main(["run", "rl/ppo", "--environment=gymnasium", *TINY, *options])


def test_several_seeds_are_refused_before_training(tmp_path, capsys):
    assert run("--workdir", str(tmp_path / "run")) == 2
    error = capsys.readouterr().err
    assert "the report cannot train 5 seeds of them in parallel: add --seeds 0" in error
    assert error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_several_devices_are_refused(tmp_path, capsys):
    assert run("--seeds=0", "--mesh=data=2", "--workdir", str(tmp_path / "run")) == 2
    assert "run on the host, on one device" in capsys.readouterr().err


def test_a_run_resumes_with_new_episodes(tmp_path, capsys):
    options = ["--seeds=0", "--workdir", str(tmp_path / "run")]
    assert run("--run.steps=1", *options) == 0
    assert run("--run.steps=2", "--resume", *options) == 0, capsys.readouterr().err
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == 2 and -500 <= result["metrics"]["eval_return"] <= -1


@pytest.mark.parametrize(
    "name, kind",
    [
        ("Acrobot-v1", from_gymnax),
        ("tic_tac_toe", from_pgx),
        ("LunarLander-v3", host),
        ("time_limit", probes),
        ("gymnasium", host),
    ],
)
def test_an_id_chooses_its_environment(name, kind):
    cfg = config.override(Config(), ["--environment", name, "--seeds", "0"])
    assert cfg.environment == (kind.Config() if name == "gymnasium" else kind.Config(name))


def test_the_default_id_replaces_the_environment_of_a_config():
    memory = Config(environment=from_gymnax.Config("MemoryChain-bsuite"))
    cfg = config.override(memory, ["--environment=CartPole-v1"])
    assert cfg.environment == from_gymnax.Config("CartPole-v1")
    assert config.override(memory, ["--environment=gymnax"]) == memory


def test_an_unknown_id_is_one_line():
    with pytest.raises(UserError) as error:
        config.override(Config(), ["--environment", "LunarLandr-v3"])
    assert str(error.value) == (
        "--environment is one of gymnax, pgx, gymnasium, brax, deep-sea, probes, or a name that "
        "one of them knows, got 'LunarLandr-v3'; did you mean 'LunarLander-v3'?"
    )


@pytest.mark.parametrize(
    "library, part", [("gymnax", from_gymnax), ("pgx", from_pgx), ("gymnasium", host)]
)
def test_a_library_that_is_missing_is_answered_by_its_extra(monkeypatch, library, part):
    monkeypatch.setitem(sys.modules, library, None)
    for needs_library in (part.ids, lambda: part.environments(part.Config(), 1)):
        with pytest.raises(UserError) as error:
            needs_library()
        assert "need the extra rl: pip install 'panorax[rl]'" in str(error.value)
