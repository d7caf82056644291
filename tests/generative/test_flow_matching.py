import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.generative import flow_matching_2d

from panorax.core.errors import UserError
from panorax.core.step import scan_steps, stacked
from panorax.data import densities, images
from panorax.generative import flow_matching
from panorax.nets import dit, velocity_mlp
from panorax.ops.solvers import dopri5, euler, heun

KEY = jax.random.key(0)
NOISE = jax.random.normal(KEY, (64, 2))
EXACT = (
    NOISE * densities.STD + densities.MEAN[None]
)  # the flow between Gaussians moves every point along a straight quantile map
field = lambda t, x: densities.gaussian_velocity(t, x)


@pytest.mark.parametrize("solver, steps, tolerance", [(euler, 800, 5e-3), (heun, 100, 1e-3)])
def test_the_exact_field_carries_noise_to_the_gaussian(solver, steps, tolerance):
    x = jax.jit(functools.partial(solver, field))(NOISE, jnp.linspace(0, 1, steps + 1))
    np.testing.assert_allclose(x, EXACT, atol=tolerance)


def test_the_exact_field_by_adaptive_steps_both_ways():
    there = jax.jit(lambda x: dopri5(field, x, 0.0, 1.0, rtol=1e-6, atol=1e-6).x)(NOISE)
    np.testing.assert_allclose(there, EXACT, atol=1e-4)
    back = jax.jit(lambda x: dopri5(field, x, 1.0, 0.0, rtol=1e-6, atol=1e-6).x)(there)
    np.testing.assert_allclose(back, NOISE, atol=1e-3)


def test_the_exact_field_is_the_regression_on_samples():
    rng, t, n = np.random.default_rng(0), 0.6, 200_000
    x0, x1 = rng.normal(size=(n, 2)), densities.gaussian(rng, n)
    xt, v = (1 - t) * x0 + t * x1, x1 - x0
    slope = ((xt - xt.mean(0)) * (v - v.mean(0))).mean(0) / xt.var(0)
    at_mean = np.asarray(field(t, jnp.asarray(xt.mean(0))[None]))[0]
    np.testing.assert_allclose(at_mean, v.mean(0), atol=0.02)
    one_up = np.asarray(field(t, jnp.asarray(xt.mean(0) + 1)[None]))[0]
    np.testing.assert_allclose(one_up - at_mean, slope, atol=0.02)


def field_of(params, cfg, label, guidance):
    return flow_matching.velocity(
        functools.partial(velocity_mlp.apply, params, cfg=cfg.net), label, 1, guidance
    )


def test_training_approaches_the_exact_field():
    cfg = dataclasses.replace(
        flow_matching_2d.smoke(),
        net=dataclasses.replace(flow_matching_2d.smoke().net, hidden=(64, 64), time_width=16),
        batch=256,
        ema=0.99,
    )
    system = flow_matching.system(cfg)
    steps = jax.jit(lambda s, b: scan_steps(system.train_step, s, b, KEY, 200))
    state = jax.jit(system.init_state)(KEY)
    for i in range(4):
        state, _ = steps(state, stacked(system.batches, 200 * i, 200))
    t, x = 0.5, jnp.asarray(densities.MEAN[None] * 0.5 + 0.5 * np.asarray(NOISE))
    learnt = field_of(state.extra.ema, cfg, jnp.zeros(64, jnp.int32), 1.0)(t, x)
    assert float(jnp.mean(jnp.abs(learnt - field(t, x)))) < 0.12


def test_guidance_needs_a_field_without_labels():
    with pytest.raises(ValueError, match="needs label-dropout above 0"):
        flow_matching.Config(label_dropout=0.0)
    flow_matching.Config(label_dropout=0.0, guidance=1.0)


def test_the_average_lags_behind_the_parameters():
    cfg = flow_matching_2d.smoke()
    system = flow_matching.system(cfg)
    state = system.init_state(KEY)
    after, _ = jax.jit(system.train_step)(state, system.batches(0), KEY)
    expected = jax.tree.map(
        lambda slow, fast: 0.1 * slow + 0.9 * fast, state.extra.ema, after.params
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.extra.ema, expected
    )


def test_guidance_one_is_the_conditional_field_and_two_goes_beyond():
    cfg = flow_matching_2d.smoke()
    params = jax.tree.map(lambda x: x + 0.3, flow_matching.system(cfg).init_state(KEY).params)
    label = jnp.zeros(64, jnp.int32)
    at = lambda w, y=label: np.asarray(field_of(params, cfg, y, w)(0.3, NOISE))
    none = at(1.0, label + 1)
    np.testing.assert_allclose(at(2.0), none + 2 * (at(1.0) - none), atol=1e-5)
    np.testing.assert_allclose(at(0.0), none, atol=1e-5)


def test_patches_come_back_and_must_tile():
    image = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    tokens, grid = dit.patchify(image, 2)
    assert tokens.shape == (2, 6, 12) and grid == (2, 3)
    np.testing.assert_array_equal(dit.unpatchify(tokens, grid, 2), image)
    np.testing.assert_array_equal(tokens[0, 1].reshape(2, 2, 3), image[0, :2, 2:4])
    with pytest.raises(ValueError, match="do not tile"):
        dit.patchify(image, 3)


def test_digits_are_split_evenly_and_scaled():
    x, label, x_held, label_held = images.images(images.Config())
    assert x.shape[1:] == (8, 8, 1) and len(x) + len(x_held) == 1797
    assert x.min() == -1 and x.max() == 1 and x.dtype == np.float32
    assert np.bincount(label_held).min() >= 34
    assert not {a.tobytes() for a in x} & {a.tobytes() for a in x_held}


def test_a_users_images(tmp_path):
    file = tmp_path / "mine.npz"
    np.savez(file, images=np.full((20, 4, 4), 255, np.uint8), labels=np.arange(20) % 2)
    cfg = images.Config(path=str(file), size=4, classes=2)
    assert (
        images.batch(cfg, 8, 0, 0)["x"].shape == (8, 4, 4, 1)
        and images.held_out(cfg)["x"].max() == 1
    )
    with pytest.raises(UserError, match="do not fit"):
        images.images(images.Config(path=str(file), size=8))


@pytest.mark.parametrize("name", densities.DENSITIES)
def test_densities_have_their_shape(name):
    points = densities.points(densities.Config(name), 2000, 1, 2)["x"]
    assert points.shape == (2000, 2) and points.dtype == np.float32 and np.abs(points).max() < 4
    np.testing.assert_array_equal(points, densities.points(densities.Config(name), 2000, 1, 2)["x"])
