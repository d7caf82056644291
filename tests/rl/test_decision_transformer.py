"""The loss by numpy, an overfitted episode, bad data, and the report."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.rl.decision_transformer import smoke

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.net import stateless
from panorax.core.optim import AdamW
from panorax.core.step import scan_steps, stacked
from panorax.nets.decoders.llama import Model
from panorax.rl import decision_transformer
from panorax.rl.environments import from_gymnax, probes
from panorax.rl.offline import cloning, dataset, recorded, stitching
from panorax.rl.policies import mlp
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
B, K, A = 3, 4, 5


def test_loss_is_the_mean_over_the_actions_of_the_episodes():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(B, K, A)).astype(np.float32)
    batch = {
        "action": rng.integers(0, A, (B, K)),
        "mask": np.arange(K) >= np.array([[0], [2], [3]]),
    }
    net = stateless((), lambda params, batch: params)
    batch = jax.tree.map(jnp.asarray, batch)
    loss, (_, metrics) = decision_transformer.loss_fn(jnp.asarray(logits), (), batch, KEY, net)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    kept = [(b, k) for b in range(B) for k in range(K) if batch["mask"][b, k]]
    action = np.asarray(batch["action"])
    nll = [-log_p[b, k, action[b, k]] for b, k in kept]
    right = [logits[b, k].argmax() == action[b, k] for b, k in kept]
    np.testing.assert_allclose([loss, metrics["accuracy"]], [np.mean(nll), np.mean(right)], **LAYER)


def memory_episodes(delay):
    """Both episodes of the probe that shows x = +-1 once: waiting, then the answer to x."""
    rows = {name: [] for name in dataset.KINDS}
    for x in (-1.0, 1.0):
        views = [x, *[0.0] * (delay + 1)]
        for t in range(delay + 1):
            is_last = t == delay
            row = {"view": [views[t]], "next_view": [views[t + 1]], "terminated": is_last}
            row |= {"reward": float(is_last), "truncated": False}
            row["action"] = int((x + 1) / 2) if is_last else t % 2
            for name, value in row.items():
                rows[name].append(value)
    return {name: np.asarray(x) for name, x in rows.items()}


def test_an_overfitted_episode_is_reproduced(tmp_path):
    """The probe needs the view of three steps before: the window carries it to the last action."""
    delay = 2
    dataset.write(tmp_path / "x.npz", memory_episodes(delay))
    cfg = decision_transformer.Config(
        data=recorded.Config(str(tmp_path / "x.npz"), probes.Config("memory", delay=delay)),
        model=Model(2, 16, 1, 1, 1, 16, tied=False),
        optim=AdamW(peak_lr=1e-2),
        run=Run(steps=60),
        batch=6,
        context=delay + 1,
        return_scale=1.0,
        targets=(-1.0, 1.0),
        eval_episodes=8,
        seeds=0,
    )
    system = decision_transformer.system(cfg)
    batches = stacked(system.batches, 0, cfg.run.steps)

    @jax.jit
    def train(batches):
        state, _ = scan_steps(system.train_step, system.init_state(KEY), batches, KEY, 60)
        return state, system.evaluate(state, (), KEY)["eval_return"]

    state, (total, n) = train(batches)
    assert total == n
    episodes = system.play(state, KEY)
    waiting = [[f"step {t + 1}: action {t % 2}, reward 0" for t in range(delay)]] * len(episodes)
    assert [episode.lines[:delay] for episode in episodes] == waiting
    assert all("return of 1" in episode.lines[-1] for episode in episodes)


def changed(**changes):
    return dataclasses.replace(smoke(), **changes)


def test_what_does_not_fit_the_environment_is_refused(tmp_path):
    box = recorded.Config("x.npz", from_gymnax.Config("Pendulum-v1"))
    with pytest.raises(UserError, match="this environment has Box"):
        decision_transformer.system(changed(data=box))
    with pytest.raises(UserError, match="model.vocab 4 must be the 5 actions of the environment"):
        decision_transformer.system(changed(model=Model(4, 8, 1, 1, 1, 8)))
    with pytest.raises(ValueError, match="targets must be at least two increasing returns"):
        changed(targets=(1.0, 1.0))
    dataset.write(tmp_path / "x.npz", memory_episodes(delay=5))
    short = recorded.Config(str(tmp_path / "x.npz"), probes.Config("memory", delay=2))
    system = decision_transformer.system(changed(data=short, model=Model(2, 8, 1, 1, 1, 8)))
    with pytest.raises(UserError, match="an episode of 6 steps; .* environment has at most 3"):
        system.batches(0)


def test_the_vocabulary_follows_from_the_environment():
    assert decision_transformer.implied(changed(model=Model(7, 8, 1, 1, 1, 8))) == {
        "model.vocab": 5
    }


def test_the_report_measures_targets_and_cloning(monkeypatch):
    """The returns of both policies are those of the trained seeds, the target the last one."""

    def train_seeds(system, batch_of, rows, run, batch, seeds, measure):
        assert batch_of(jnp.arange(2))["mask"].shape == (2, 2)
        if measure is None:
            assert rows == 100  # 20 episodes of each kind, of 2, 1 and 2 steps
            assert system.evaluate.keywords["targets"][-1] == stitching.BEST
            return {}, {"eval_return": np.array([0.5, 1.0])}
        assert rows == 400
        reached = measure(system.init_state(KEY), KEY)["reached"]
        assert reached.shape == (2,) and (reached < 0).all()
        return {}, {"reached": np.array([[1.0, 3.0]] * seeds)}

    monkeypatch.setattr(decision_transformer, "train_seeds", train_seeds)
    few = cloning.Config(mlp.Config((4,)), steps=2, batch=4)
    cfg = changed(seeds=2, cloning=few)
    system = decision_transformer.system(cfg)
    metrics = system.report(None, KEY).metrics
    assert metrics["dt_return"] == 3 and metrics["min_rank_correlation"] > 0.99
    assert metrics["bc_return"] < 0 and metrics["dt_above_best_bc"] > 3
    assert metrics["stitching_return"] == 0.75 and metrics["max_stitching_return"] == 1
