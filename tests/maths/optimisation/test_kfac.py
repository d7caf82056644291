import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.maths.optimisation.fisher import CATEGORICAL, GAUSSIAN, fisher_root_product
from panorax.maths.optimisation.kfac import (
    Factors,
    adaptive_kfac,
    block,
    exact_factors,
    factors,
    inverses,
    kfac,
    map_layers,
    patches,
    precondition,
    quadratic_step,
    record,
    sampled_factors,
    weights,
)
from panorax.ops.convolution import conv2d
from panorax.testing.tolerances import LAYER, MODEL, NUMBER
from panorax.theory.natural_gradient.invariance import (
    draw_perceptron,
    outputs_of,
    tapped_perceptron,
)

NOISE = 0.05
"""sampling error of factors from 4,000 draws of labels, relative to the largest entry"""

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
X = jnp.asarray(RNG.normal(size=(9, 3)), jnp.float32)
PARAMS = jax.tree.map(lambda x: x.astype(jnp.float32), draw_perceptron(RNG, (3, 4, 2)))
GRADS = jax.tree.map(jnp.cos, PARAMS)
EXACT = jax.jit(functools.partial(exact_factors, tapped_perceptron, CATEGORICAL))
FACTORS = EXACT(PARAMS, X)


def spd(rng, n):
    m = rng.normal(size=(n, n))
    return jnp.asarray(m @ m.T / n + 0.1 * np.eye(n), jnp.float32)


close = functools.partial(chex.assert_trees_all_close, **MODEL)


def test_taps_give_the_gradients_of_layer_outputs():
    z, inputs, pull = record(tapped_perceptron, PARAMS, X)
    label = jax.nn.one_hot(jnp.arange(9) % 2, 2)
    slopes = pull(CATEGORICAL.mean(z) - label)
    gradient = jax.grad(
        lambda params: jnp.sum(CATEGORICAL.loss(outputs_of(tapped_perceptron, X)(params), label))
    )(PARAMS)
    for layer, a, g in zip(gradient, inputs, slopes, strict=True):
        np.testing.assert_allclose(a.T @ g, layer["w"], **NUMBER)
        np.testing.assert_allclose(jnp.sum(g, 0), layer["b"], **NUMBER)


@pytest.mark.parametrize("stride", [1, 2])
def test_patches_times_a_kernel_are_the_convolution(stride):
    x = jnp.asarray(RNG.normal(size=(2, 5, 4, 3)), jnp.float32)
    w = jnp.asarray(RNG.normal(size=(3, 3, 3, 2)), jnp.float32)
    np.testing.assert_allclose(
        patches(x, 3, stride) @ w.reshape(-1, 2), conv2d(x, w, stride), **LAYER
    )


def test_factors_are_the_moments_over_points_and_positions():
    a, g = RNG.normal(size=(4, 2, 3, 5)), RNG.normal(size=(4, 2, 3, 2))
    layer = {"w": jnp.zeros((1, 1, 5, 2)), "b": jnp.zeros(2)}
    factor = factors(layer, jnp.asarray(a), jnp.asarray(g))
    with_one = np.concatenate([a, np.ones((4, 2, 3, 1))], -1)
    np.testing.assert_allclose(
        factor.a, np.einsum("byxi,byxj->ij", with_one, with_one) / 24, **NUMBER
    )
    np.testing.assert_allclose(factor.g, np.einsum("byxi,byxj->ij", g, g) / 4, **NUMBER)


def test_sampled_labels_give_the_exact_factors_on_average():
    many = jax.jit(
        jax.vmap(lambda key: sampled_factors(tapped_perceptron, CATEGORICAL, PARAMS, X, key))
    )(jax.random.split(KEY, 4000))
    for mean, exact in zip(jax.tree.map(lambda m: m.mean(0), many), FACTORS, strict=True):
        np.testing.assert_allclose(mean.a, exact.a, **NUMBER)
        np.testing.assert_allclose(mean.g, exact.g, atol=NOISE * float(exact.g.max()))


def test_a_linear_layer_with_gaussian_noise_has_its_closed_form():
    params = PARAMS[:1]
    (factor,) = exact_factors(tapped_perceptron, GAUSSIAN, params, X)
    x = np.concatenate([X, np.ones((9, 1))], 1)
    np.testing.assert_allclose(block(factor), np.kron(x.T @ x / 9, np.eye(4)), **NUMBER)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 10), st.floats(0.1, 10))
def test_preconditioning_inverts_the_damped_block_whatever_the_scale_of_its_factors(
    seed, damping, scale
):
    rng = np.random.default_rng(seed)
    factor = Factors(spd(rng, 4), spd(rng, 4))
    layer = {
        "w": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32),
        "b": jnp.asarray(rng.normal(size=4), jnp.float32),
    }
    d = STEP(layer, factor, damping)
    pi = np.sqrt(np.trace(factor.a) / np.trace(factor.g))
    damped = np.kron(
        factor.a + pi * damping**0.5 * np.eye(4), factor.g + damping**0.5 / pi * np.eye(4)
    )
    np.testing.assert_allclose(
        damped @ np.asarray(weights(d)).ravel(), np.asarray(weights(layer)).ravel(), **MODEL
    )
    close(STEP(layer, Factors(scale * factor.a, factor.g / scale), damping), d)


STEP = jax.jit(lambda layer, factor, damping: precondition(layer, inverses(factor, damping)))


def test_dead_layers_are_only_damped():
    layer = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    dead = Factors(jnp.zeros((3, 3)), jnp.zeros((2, 2)))
    close(precondition(layer, inverses(dead, 0.25)), jax.tree.map(lambda p: 4 * p, layer))
    assert np.isnan(inverses(dead, 0.0).a).all()


def test_updates_match_the_rule_step_by_step():
    """Three steps with moving averages, inverses of every second step, KL clipping and momentum."""
    lr, damping, clip = 0.5, 0.1, 0.01
    tx = kfac(lr, damping, decay=0.6, every=2, kl_clip=clip, momentum=0.8)
    state, velocity = tx.init(PARAMS), jax.tree.map(jnp.zeros_like, PARAMS)
    update, average, inverse = jax.jit(tx.update), None, None
    for k in range(1, 4):
        now = jax.tree.map(lambda m, k=k: k * m, FACTORS)
        keep = min(1 - 1 / k, 0.6)
        mix = lambda old, new, keep=keep: keep * old + (1 - keep) * new
        average = jax.tree.map(mix, now if average is None else average, now)
        if k != 2:
            inverse = map_layers(lambda layer, factor: inverses(factor, damping), PARAMS, average)
        d = map_layers(precondition, GRADS, inverse)
        scale = min(1.0, (clip / (lr**2 * float(optax.tree.vdot(d, GRADS)))) ** 0.5)
        assert scale < 1
        velocity = jax.tree.map(lambda v, d, scale=scale: 0.8 * v + scale * d, velocity, d)
        updates, state = update(GRADS, state, PARAMS, factors=now)
        close(updates, jax.tree.map(lambda v: -lr * v, velocity))
    free, _ = jax.jit(kfac(lr, damping, kl_clip=1e9).update)(
        GRADS, tx.init(PARAMS), PARAMS, factors=now
    )
    d = map_layers(lambda g, factor: precondition(g, inverses(factor, damping)), GRADS, now)
    close(free, jax.tree.map(lambda d: -lr * d, d))


@given(st.integers(0, 2**32 - 1))
def test_a_quadratic_step_minimises_the_model_in_its_plane(seed):
    rng = np.random.default_rng(seed)
    f, (g, d, b) = spd(rng, 3), (jnp.asarray(rng.normal(size=3), jnp.float32) for _ in range(3))
    root = jnp.linalg.cholesky(f).T
    step, predicted = QUADRATIC(g, d, b, root, 0.3)
    damped, plane = np.asarray(f) + 0.3 * np.eye(3), np.stack([d, b], 1)
    best = plane @ np.linalg.solve(plane.T @ damped @ plane, -plane.T @ np.asarray(g))
    value = lambda s: s @ np.asarray(g) + 0.5 * s @ damped @ s
    assert value(np.asarray(step)) <= value(best) + 1e-3 * abs(value(best))
    assert float(predicted) == pytest.approx(float(value(np.asarray(step))), rel=2e-2, abs=1e-4)
    alone, _ = QUADRATIC(g, d, 0 * b, root, 0.3)
    np.testing.assert_allclose(alone, -(g @ d) / (d @ damped @ d) * d, **NUMBER)
    np.testing.assert_allclose(QUADRATIC(g, d, 2 * d, root, 0.3)[0], alone, **NUMBER)


QUADRATIC = jax.jit(
    lambda g, d, b, root, damping: quadratic_step(g, d, b, lambda v: root @ v, damping)
)


def adapted(stretch, loss_scale=1.0):
    """Damping after two steps on a quadratic loss with `stretch` times the curvature of F."""
    root = lambda v: fisher_root_product(outputs_of(tapped_perceptron, X), CATEGORICAL, PARAMS, v)
    tx = adaptive_kfac(1.0, every=2)

    @jax.jit
    def run():
        state, params = tx.init(PARAMS), jax.tree.map(jnp.zeros_like, PARAMS)
        curvature = lambda p: jnp.sum(jnp.square(root(p))) + optax.tree.vdot(p, p)
        quadratic = lambda p: optax.tree.vdot(GRADS, p) + 0.5 * stretch * curvature(p)
        loss = lambda p: loss_scale * quadratic(p)
        for _ in range(2):
            updates, state = tx.update(
                jax.grad(loss)(params), state, params, factors=FACTORS, root_product=root, loss=loss
            )
            params = optax.apply_updates(params, updates)
        return state.damping

    return float(run())


def test_the_damping_adapts_to_the_accuracy_of_the_quadratic_model():
    assert adapted(1.0) == pytest.approx(0.95**2)
    assert adapted(4.0) == pytest.approx(0.95**-2)
    assert adapted(1.0, jnp.nan) == pytest.approx(0.95**-2)


def test_averages_skip_non_finite_factors_and_updates_keep_non_finite_gradients():
    tx = kfac(0.1, 0.1)
    update = jax.jit(tx.update)
    _, state = update(GRADS, tx.init(PARAMS), PARAMS, factors=FACTORS)
    broken = (Factors(FACTORS[0].a * jnp.nan, FACTORS[0].g), FACTORS[1])
    updates, after = update(GRADS, state, PARAMS, factors=broken)
    close(after.factors, state.factors, **NUMBER)
    assert all(np.isfinite(u).all() for u in jax.tree.leaves(updates))
    updates, _ = update(jax.tree.map(lambda g: g * jnp.nan, GRADS), state, PARAMS, factors=FACTORS)
    assert all(np.isnan(u).all() for u in jax.tree.leaves(updates))


def test_kfac_chains_with_optax_transformations():
    tx = optax.chain(kfac(0.1, 0.1), optax.scale(0.5))
    updates, _ = jax.jit(tx.update)(GRADS, tx.init(PARAMS), PARAMS, factors=FACTORS)
    alone, _ = jax.jit(kfac(0.1, 0.1).update)(
        GRADS, kfac(0.1, 0.1).init(PARAMS), PARAMS, factors=FACTORS
    )
    close(updates, jax.tree.map(lambda u: 0.5 * u, alone))


@pytest.mark.parametrize(
    "make", [lambda damping, **settings: kfac(0.1, damping, **settings), adaptive_kfac]
)
def test_bad_settings_are_refused(make):
    for damping in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="damping must be finite and above 0"):
            make(damping)
    for settings in ({"decay": 1.0}, {"decay": -0.1}, {"every": 0}):
        with pytest.raises(ValueError, match=r"decay must be in \[0, 1\) and every at least 1"):
            make(1.0, **settings)
    with pytest.raises(ValueError, match="learning_rate and kl_clip"):
        kfac(0.0, 1.0)
    with pytest.raises(ValueError, match="momentum"):
        kfac(0.1, 1.0, momentum=1.0)


def test_bad_factors_and_layers_are_refused():
    tx = kfac(0.1, 0.1)
    state = tx.init(PARAMS)
    with pytest.raises(ValueError, match="needs the statistics"):
        tx.update(GRADS, state, PARAMS)
    with pytest.raises(ValueError, match="one entry for each layer"):
        tx.update(GRADS, state, PARAMS, factors=FACTORS[:1])
    with pytest.raises(ValueError, match="needs Factors of shapes"):
        tx.update(GRADS, state, PARAMS, factors=FACTORS[::-1])
    with pytest.raises(ValueError, match="needs Factors of shapes"):
        tx.update(GRADS, state, PARAMS, factors=(FACTORS[0].a, FACTORS[1].a))
    with pytest.raises(ValueError, match="root_product and loss"):
        adaptive_kfac().update(GRADS, adaptive_kfac().init(PARAMS), PARAMS, factors=FACTORS)
    with pytest.raises(ValueError, match="outside of one"):
        tx.init({"w": jnp.ones((2, 2))})
    with pytest.raises(ValueError, match="a layer is w"):
        tx.init({"w": jnp.ones((2, 2)), "b": jnp.ones(3)})
