"""GAIL: a probe with a known value, metrics of the report, and configs that do not fit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.optim import AdamW
from panorax.core.ranges import ConfigError
from panorax.core.state import Episode, Result, State
from panorax.core.step import scan_steps, stacked
from panorax.rl import gail, moments, on_policy
from panorax.rl.environments import probes
from panorax.rl.environments.environment import Discrete, Observation
from panorax.rl.imitation import discriminator, report
from panorax.rl.imitation.experts import Labels
from panorax.rl.policies import mlp as policies
from panorax.rl.ppo import Config as PPO
from panorax.rl.rollout import Trajectory
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
PROBE, TWO = probes.Config("policy"), Discrete(2)
CFG = gail.Config(
    environment=PROBE,
    policy=policies.Config((16,)),
    optim=AdamW(peak_lr=1e-2, schedule="constant"),
    expert="the probe's",
    episodes=16,
    stride=1,
    pairs=16,
    discriminator=mlp.Config((16,), activation="tanh"),
    discriminator_optim=AdamW(peak_lr=1e-2, schedule="constant"),
    penalty=0.0,
    reward="survival",
    run=Run(steps=60, chunk=60),
    n_envs=16,
    length=4,
    epochs=4,
    eval_episodes=16,
    seeds=0,
)
KNOWN = {"rtol": 0, "atol": 0.1}
"""The value of a policy that still moves, against the value of a policy equal to the expert"""


@pytest.fixture(autouse=True)
def teacher(monkeypatch):
    """The expert of the probe: action 1 for the view 1, action 0 for -1."""

    def act(memory, observation, first, key):
        return memory, (observation.view[:, 0] > 0).astype(jnp.int32)

    monkeypatch.setattr(gail, "algorithm", lambda name: PPO(environment=PROBE))
    monkeypatch.setattr(gail, "expert", lambda cfg: act)
    gail.demonstrated.cache_clear()


def test_the_policy_imitates_an_expert_whose_rewards_it_never_sees():
    """The best D of a policy that acts as the expert gives -log(1 - D) = log(1 + rho_E / rho_pi).

    rho_pi(x) = 1/2, and rho_E(x) is the share of x among the demonstrations. At equal visits, a
    step is worth log 2.
    """
    system = gail.system(CFG)
    batches = stacked(system.batches, 0, CFG.run.steps)

    @jax.jit
    def train(key):
        state = system.init_state(key)
        state, metrics = scan_steps(system.train_step, state, batches, key, CFG.run.steps)
        total, n = system.evaluate(state, (), key)["eval_return"]
        return state, metrics, total / n

    state, metrics, mean_return = train(KEY)
    assert mean_return == 1
    policy = policies.policy(CFG.policy, (1,), TWO)
    view = Observation(jnp.array([[[-1.0]], [[1.0]]]))
    _, pi, value = policy.apply(state.params["policy"], (), view, jnp.zeros((2, 1), bool))
    assert (pi.mode()[:, 0] == jnp.array([0, 1])).all()
    share = np.mean(gail.demonstrated(CFG)["view"] > 0)
    np.testing.assert_allclose(value[:, 0], np.log1p(2 * np.array([1 - share, share])), **KNOWN)
    np.testing.assert_allclose(metrics["reward"], np.log(2), **KNOWN)


def test_the_discriminator_is_updated_before_it_gives_the_rewards():
    cfg = dataclasses.replace(CFG, discriminator_updates=1, penalty=0.3)
    rng = np.random.default_rng(0)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    d, tx = lambda w, x: x @ w, optax.sgd(0.5, momentum=0.9)
    w, view, action = normal(3), normal(4, 2, 1), jnp.array([[0, 1]] * 4)
    batch = {"view": normal(3, 1), "action": jnp.array([0, 1, 1]), "weight": jnp.ones(3)}
    extra = on_policy.Extra((), moments.initial((1,)))
    state = State({"discriminator": w}, {"discriminator": tx.init(w)}, extra, 0)
    steps = Trajectory(Observation(view), *[None] * 2, action, *[None] * 5)
    keys = [*jax.random.split(KEY)]
    separate = jax.jit(lambda state: gail.separate(state, batch, steps, keys, TWO, d, tx, cfg))
    (after, opt), reward, _ = separate(state)
    joined = lambda view, action: jnp.concatenate([view, jax.nn.one_hot(action, 2)], -1)
    shown = joined(batch["view"], batch["action"]), batch["weight"]
    examples = joined(view, action).reshape(8, 3)
    loss = lambda w: discriminator.loss_fn(w, (), examples, KEY, *shown, d, 0.3)[0]
    expected = w - 0.5 * jax.grad(loss)(w)
    np.testing.assert_allclose(after, expected, **LAYER)
    np.testing.assert_allclose(reward, jnp.log1p(jnp.exp(joined(view, action) @ after)), **LAYER)
    np.testing.assert_allclose(opt[0].trace, (w - expected) / 0.5, **LAYER)


def test_batches_visit_all_demonstrations_of_the_config(monkeypatch):
    def demonstrations(act, envs, key, stride):
        assert (envs.n, stride) == (CFG.episodes, CFG.stride)
        return Labels(jnp.zeros((16, 1)), jnp.arange(16), jnp.ones(16))

    monkeypatch.setattr(gail, "demonstrations", demonstrations)
    gail.demonstrated.cache_clear()
    system = gail.system(dataclasses.replace(CFG, pairs=8))
    shown = [int(x) for step in range(2) for x in system.batches(step)["action"]]
    assert sorted(shown) == [*range(16)]


def test_the_report_compares_methods_and_shows_an_episode(monkeypatch):
    def compare(imitators, cfg, act, source, held_out, key):
        assert (imitators.stride, imitators.pairs, imitators.acting.seeds) == (1, 16, 2)
        assert imitators.constant is not imitators.gail and source.n == 16 and held_out.n == 16
        return Result({"gail_share_1": 0.5})

    monkeypatch.setattr(report, "report", compare)
    played = []
    monkeypatch.setattr(
        on_policy,
        "player",
        lambda *scene: lambda state, key: [Episode(played.append(state.params) or [], ["frame"])],
    )
    monkeypatch.setattr(gail, "draw_frames", lambda episode: episode.frames)
    system = gail.system(dataclasses.replace(CFG, seeds=2))
    result = system.report(State({"policy": "actor and critic"}, (), (), 0), KEY)
    assert result.metrics == {"gail_share_1": 0.5} and played == ["actor and critic"]
    assert result.figures == {"episode.png": ["frame"]}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"environment": probes.Config("action")}, "acts in .*policy.*both must act in the same"),
        ({"stride": 2}, "a stride of 2 steps is longer than an episode of 1"),
    ],
)
def test_an_expert_and_a_stride_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        gail.system(dataclasses.replace(CFG, **options))


def test_actions_of_several_choices_are_refused(monkeypatch):
    several = probes.Config("combination")
    monkeypatch.setattr(gail, "algorithm", lambda name: PPO(environment=several))
    with pytest.raises(UserError, match="the discriminator sees single actions"):
        gail.system(dataclasses.replace(CFG, environment=several))


def test_updates_that_do_not_divide_a_rollout_are_refused():
    with pytest.raises(
        ConfigError, match="16 environments x 4 steps do not divide into 5 equal updates"
    ):
        dataclasses.replace(CFG, discriminator_updates=5)
