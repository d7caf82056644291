import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from panorax.maths.optimisation import update_rules as o
from panorax.testing.tolerances import LAYER, NUMBER

RNG = np.random.default_rng(0)
TREE = {"w": RNG.normal(size=(3, 4)).astype(np.float32), "b": RNG.normal(size=4).astype(np.float32)}
TARGET = {
    "w": RNG.normal(size=(3, 4)).astype(np.float32),
    "b": RNG.normal(size=4).astype(np.float32),
}
PAIRS = {
    "sgd": (o.sgd(0.1), optax.sgd(0.1)),
    "momentum": (o.momentum(0.05, 0.8), optax.sgd(0.05, 0.8)),
    "nesterov": (o.momentum(0.05, 0.8, nesterov=True), optax.sgd(0.05, 0.8, nesterov=True)),
    "rmsprop": (o.rmsprop(0.01, 0.9, 1e-6), optax.rmsprop(0.01, 0.9, 1e-6, eps_in_sqrt=False)),
    "adam": (o.adamw(0.05, 0.8, 0.95), optax.adam(0.05, 0.8, 0.95)),
    "adamw": (o.adamw(0.05, 0.8, 0.95, decay=0.1), optax.adamw(0.05, 0.8, 0.95, weight_decay=0.1)),
    "adam_l2": (
        o.adam_l2(0.05, decay=0.1),
        optax.chain(optax.add_decayed_weights(0.1), optax.adam(0.05)),
    ),
    "lion": (o.lion(0.01, 0.9, 0.95, decay=0.1), optax.lion(0.01, 0.9, 0.95, weight_decay=0.1)),
    "clipped": (
        optax.chain(o.clipped(0.5), o.sgd(0.3)),
        optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.3)),
    ),
    "scheduled": (
        o.scheduled(o.warmup_cosine(0.1, 3, 12, 0.01), o.adamw(1.0)),
        optax.adam(optax.warmup_cosine_decay_schedule(0.0, 0.1, 3, 12, 0.01)),
    ),
}


def path(tx, steps=15):
    """The parameters after every step towards the target."""

    def step(carry, _):
        params, state = carry
        grads = jax.tree.map(lambda p, t: jnp.tanh(p - t) * 2, params, TARGET)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return jax.jit(lambda params: jax.lax.scan(step, (params, tx.init(params)), length=steps)[1])(
        TREE
    )


@pytest.mark.parametrize("name", PAIRS)
def test_every_step_is_optaxs(name):
    ours, theirs = (path(tx) for tx in PAIRS[name])
    chex.assert_trees_all_close(ours, theirs, **LAYER)


def test_adagrad_follows_its_rule():
    p, s, x = TREE["b"].astype(np.float64), 0.0, path(o.adagrad(0.3))["b"]
    for step in range(15):
        g = np.tanh(p - TARGET["b"]) * 2
        s = s + g * g
        p = p - 0.3 * g / (np.sqrt(s) + 1e-10)
        np.testing.assert_allclose(x[step], p, **NUMBER)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (1, 3)])
def test_orthogonalised_keeps_singular_vectors_and_equalises_singular_values(shape):
    g = RNG.normal(size=shape).astype(np.float32)
    u, s, vt = np.linalg.svd(g, full_matrices=False)
    x = u.T @ np.asarray(o.orthogonalised(g), np.float64) @ vt.T
    values = np.diag(x)
    np.testing.assert_allclose(x, np.diag(values), **LAYER)
    if s.min() > 0.1 * s.max():
        assert (values > 0.6).all() and (values < 1.25).all()


def test_muon_follows_its_rule_and_refuses_vectors():
    start, target = TREE["w"].T, TARGET["w"].T  # steps are longer for tall matrices
    x, p, m = path_of_matrix(o.muon(0.1, 0.9, decay=0.2), start, target), start, 0.0
    for step in range(4):
        g = np.tanh(p - target) * 2
        m = 0.9 * m + 0.1 * g
        p = p - 0.1 * ((4 / 3) ** 0.5 * np.asarray(o.orthogonalised(0.1 * g + 0.9 * m)) + 0.2 * p)
        np.testing.assert_allclose(x[step], p, **LAYER)
    with pytest.raises(ValueError, match="Muon is for matrices, got an array of shape \\(4,\\)"):
        path(o.muon(0.1))


def path_of_matrix(tx, params, target):
    """The parameters after each of four steps towards `target`."""
    state, points = tx.init(params), []
    for _ in range(4):
        updates, state = tx.update(jnp.tanh(params - target) * 2, state, params)
        params = optax.apply_updates(params, updates)
        points.append(params)
    return points
