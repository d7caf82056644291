import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.generative import flow_matching_2d

from panorax.core.net import Net
from panorax.core.step import scan_steps, stacked
from panorax.data import densities
from panorax.generative import flow_matching
from panorax.nets import velocity_mlp
from panorax.ops.solvers import dopri5, euler, heun
from panorax.testing.tolerances import LAYER, NUMBER

REGRESSED = {"atol": 0.02}
"""sampling error of a regression on 200,000 pairs"""

KEY = jax.random.key(0)
NOISE = jax.random.normal(KEY, (64, 2))
# The flow between Gaussians is the affine quantile map.
EXACT = NOISE * densities.STD + densities.MEAN[None]
field = lambda t, x: densities.gaussian_velocity(t, x)


@pytest.mark.parametrize("solver, steps, tolerance", [(euler, 800, 5e-3), (heun, 100, 1e-3)])
def test_the_exact_field_maps_noise_to_the_gaussian(solver, steps, tolerance):
    x = jax.jit(functools.partial(solver, field))(NOISE, jnp.linspace(0, 1, steps + 1))
    np.testing.assert_allclose(x, EXACT, atol=tolerance)


def test_adaptive_steps_follow_the_exact_field_in_both_directions():
    forward = jax.jit(lambda x: dopri5(field, x, 0.0, 1.0, rtol=1e-6, atol=1e-6).x)(NOISE)
    np.testing.assert_allclose(forward, EXACT, **LAYER)
    backward = jax.jit(lambda x: dopri5(field, x, 1.0, 0.0, rtol=1e-6, atol=1e-6).x)(forward)
    np.testing.assert_allclose(backward, NOISE, **LAYER)


def test_the_exact_field_equals_the_regression_on_samples():
    rng, t, n = np.random.default_rng(0), 0.6, 200_000
    x0, x1 = rng.normal(size=(n, 2)), densities.gaussian(rng, n)
    xt, v = (1 - t) * x0 + t * x1, x1 - x0
    slope = ((xt - xt.mean(0)) * (v - v.mean(0))).mean(0) / xt.var(0)
    at_mean = np.asarray(field(t, jnp.asarray(xt.mean(0))[None]))[0]
    np.testing.assert_allclose(at_mean, v.mean(0), **REGRESSED)
    one_up = np.asarray(field(t, jnp.asarray(xt.mean(0) + 1)[None]))[0]
    np.testing.assert_allclose(one_up - at_mean, slope, **REGRESSED)


def guided_field(params, cfg, label, guidance):
    network = functools.partial(velocity_mlp.apply, params, cfg=cfg.net)
    return flow_matching.velocity(network, label, 1, guidance)


def test_training_approaches_the_exact_field():
    net = velocity_mlp.Config(hidden=(64, 64), time_width=16)
    cfg = dataclasses.replace(flow_matching_2d.smoke(), net=net, batch=256, ema=0.99)
    system = flow_matching.system(cfg)
    steps = jax.jit(lambda s, b: scan_steps(system.train_step, s, b, KEY, 200))
    state = jax.jit(system.init_state)(KEY)
    for i in range(4):
        state, _ = steps(state, stacked(system.batches, 200 * i, 200))
    t, x = 0.5, jnp.asarray(densities.MEAN[None] * 0.5 + 0.5 * np.asarray(NOISE))
    learnt = guided_field(state.extra.ema, cfg, jnp.zeros(64, jnp.int32), 1.0)(t, x)
    assert float(jnp.mean(jnp.abs(learnt - field(t, x)))) < 0.12


def test_guidance_needs_label_dropout():
    with pytest.raises(ValueError, match="needs label-dropout above 0"):
        flow_matching.Config(label_dropout=0.0)
    flow_matching.Config(label_dropout=0.0, guidance=1.0)


def test_the_first_step_moves_the_average_by_nine_tenths():
    cfg = flow_matching_2d.smoke()
    system = flow_matching.system(cfg)
    state = system.init_state(KEY)
    after, _ = jax.jit(system.train_step)(state, system.batches(0), KEY)
    mean = lambda slow, fast: 0.1 * slow + 0.9 * fast
    expected = jax.tree.map(mean, state.extra.ema, after.params)
    chex.assert_trees_all_close(after.extra.ema, expected, **NUMBER)


def test_evaluation_and_samples_use_the_average_and_not_the_parameters():
    cfg = flow_matching_2d.smoke()
    system = flow_matching.system(cfg)
    state = system.init_state(KEY)
    source = densities.source(cfg.data)
    net = velocity_mlp.net(cfg.net, source.shape, source.classes + 1)
    batch = next(iter(system.held_out()))
    draw = lambda state: flow_matching.samples(state, KEY, jnp.zeros(4, jnp.int32), net, source, 2)
    both = jax.jit(lambda state: (system.evaluate(state, batch, KEY), draw(state)))
    garbage = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), state.params)
    chex.assert_trees_all_equal(both(state), both(state.replace(params=garbage)))
    other = state.extra.replace(ema=jax.tree.map(lambda x: x + 0.1, state.extra.ema))
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(both(state), both(state.replace(extra=other)))


@pytest.mark.parametrize("dropout, labels", [(0.0, [0, 0, 0]), (1.0, [1, 1, 1])])
def test_a_dropped_label_is_the_label_none(dropout, labels):
    cfg = dataclasses.replace(flow_matching_2d.smoke(), label_dropout=dropout, guidance=1.0)
    source, seen = densities.source(cfg.data), []

    def apply(params, extra, x, t_B, label_B, key, train):
        seen.append(np.asarray(label_B))
        return x, extra

    batch = {"x": jnp.ones((3, 2)), "label": jnp.zeros(3, jnp.int32)}
    flow_matching.errors((), (), batch, KEY, Net((), None, apply), source, cfg, train=True)
    np.testing.assert_array_equal(seen, [labels])
    assert source.classes == 1  # the label after the last class


def test_guidance_extrapolates_from_the_field_without_label():
    cfg = flow_matching_2d.smoke()
    params = jax.tree.map(lambda x: x + 0.3, flow_matching.system(cfg).init_state(KEY).params)
    label = jnp.zeros(64, jnp.int32)
    at = lambda w, y=label: np.asarray(guided_field(params, cfg, y, w)(0.3, NOISE))
    none = at(1.0, label + 1)
    np.testing.assert_allclose(at(2.0), none + 2 * (at(1.0) - none), **NUMBER)
    np.testing.assert_allclose(at(0.0), none, **NUMBER)


@pytest.mark.parametrize("name", densities.DENSITIES)
def test_points_of_a_density_are_bounded_and_determined_by_the_seed(name):
    draw = lambda: densities.points(densities.Config(name), 2000, 1, 2)["x"]
    chex.assert_shape(draw(), (2000, 2))
    chex.assert_type(draw(), np.float32)
    assert np.abs(draw()).max() < 4
    np.testing.assert_array_equal(draw(), draw())
