"""A step of GRPO: rewards and weights of sampled answers, and on-policy invariants."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.alignment import grpo as config

from panorax.alignment import grpo, rewarded
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.state import State
from panorax.nets.decoders import decoder
from panorax.testing.tolerances import GRADIENT, LAYER, RUN

KEY, END = jax.random.key(0), 7
MODEL = dataclasses.replace(config.smoke().model, vocab=9, n_layers=1)
CFG = dataclasses.replace(config.smoke(), model=MODEL, batch=3, group=16, context=5, new=3)
NET = decoder.net(MODEL)
BATCH = {
    "tokens": jnp.array([[1, 2, 3, 0, 0], [4, 5, 6, 8, 1], [2, 0, 0, 0, 0]]),
    "length": jnp.array([3, 5, 1]),
    "answer": jnp.array([[3, END, -1], [END, -1, -1], [2, 1, END]]),
}


@functools.cache
def params():
    return core_spec.init(NET.spec, jax.random.key(1))


@functools.cache
def drawn():
    run = jax.jit(functools.partial(rewarded.sampled, cfg=CFG))
    return jax.device_get(run(params(), BATCH, KEY))


def test_answers_are_rewarded_if_they_are_right_and_end():
    rows, place, weight, reward = drawn()
    written = np.take_along_axis(rows, place, 1)
    for i, (row, answer) in enumerate(zip(rows, np.repeat(BATCH["answer"], 16, 0))):
        n = int(BATCH["length"][i // 16])
        np.testing.assert_array_equal(row[:n], BATCH["tokens"][i // 16, :n])
        np.testing.assert_array_equal(row[n : n + 3], written[i])
        ended = [*written[i], END].index(END)
        np.testing.assert_array_equal(weight[i], np.arange(3) <= ended)
        right = [x for x in answer if x >= 0]
        assert reward.reshape(-1)[i] == float([*written[i][: len(right)]] == right)
    assert 0 < reward[1].sum() < 16, "the group of the second prompt is mixed"


def test_log_probabilities_are_those_of_the_whole_rows():
    rows, place, *_ = drawn()
    logits = decoder.apply(params(), jnp.asarray(rows), MODEL)
    log_p = np.asarray(jax.nn.log_softmax(logits, -1))
    expected = [[log_p[i, t - 1, rows[i, t]] for t in place[i]] for i in range(len(rows))]
    ours = jax.jit(functools.partial(rewarded.log_probs, net=NET))(params(), rows, place)
    np.testing.assert_allclose(ours, expected, **LAYER)


def step(cfg, reference):
    """Metrics and the gradient of one step, by an update of rate -1 and no momentum."""
    import optax

    state = State(params(), optax.sgd(1.0).init(params()), reference, jnp.int32(0))
    run = functools.partial(grpo.train_step, net=NET, tx=optax.sgd(1.0), cfg=cfg)
    after, metrics = jax.jit(run)(state, BATCH, KEY)
    gradient = jax.tree.map(lambda a, b: np.asarray(a - b), state.params, after.params)
    return gradient, {name: float(x) for name, x in metrics.items()}


def test_on_policy_the_loss_is_zero_and_the_gradient_that_of_reinforce():
    gradient, metrics = step(dataclasses.replace(CFG, aggregation="bnpo"), params())
    rows, place, weight, reward = jax.jit(functools.partial(rewarded.sampled, cfg=CFG))(
        params(), BATCH, jax.random.split(KEY)[0]
    )
    reward = np.asarray(reward)
    advantage = reward - reward.mean(1, keepdims=True)
    advantage = (advantage / (reward.std(1, ddof=1, keepdims=True) + 1e-4)).reshape(-1, 1)

    def reinforce(params):
        log_prob = rewarded.log_probs(params, rows, place, NET)
        return -jnp.sum(log_prob * advantage * weight) / weight.sum()

    expected = jax.jit(jax.grad(reinforce))(params())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **GRADIENT), gradient, expected)
    assert metrics["kl"] == metrics["clipped"] == 0
    assert metrics["reward"] == pytest.approx(reward.mean())
    assert metrics["informative"] == pytest.approx(np.mean(np.ptp(reward, 1) > 0))


def test_a_group_of_equal_rewards_has_no_gradient():
    never = BATCH | {"answer": jnp.array([[8, 8, END]] * 3)}
    rows, place, weight, reward = jax.device_get(
        jax.jit(functools.partial(rewarded.sampled, cfg=CFG))(params(), never, KEY)
    )
    assert not reward.any()
    zero = grpo.group_advantages(jnp.asarray(reward))
    assert not np.asarray(zero).any()


def test_the_reference_pulls_the_policy_back():
    reference, cfg = jax.tree.map(lambda x: 1.1 * x, params()), dataclasses.replace(CFG, beta=10.0)
    (free, metrics), (pulled, _) = step(CFG, reference), step(cfg, reference)
    assert metrics["kl"] > 0
    rows, place, weight, _ = jax.jit(functools.partial(rewarded.sampled, cfg=CFG))(
        params(), BATCH, jax.random.split(KEY)[0]
    )

    def divergence(params):
        of = lambda tree: rewarded.log_probs(tree, rows, place, NET)
        return jnp.sum(grpo.reference_kl(of(params), of(reference)) * weight) / weight.sum()

    expected = jax.jit(jax.grad(divergence))(params())
    for with_kl, without, kl in zip(*map(jax.tree.leaves, (pulled, free, expected))):
        np.testing.assert_allclose(with_kl - without, 10 * kl, **RUN)


def test_a_group_has_at_least_two_answers():
    with pytest.raises(UserError, match="group must be at least 2"):
        dataclasses.replace(CFG, group=1)
