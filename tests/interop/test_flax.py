"""Flax modules as nets: they train, keep their statistics, and declare their parameters."""

import functools

import chex
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from panorax.core import spec as core_spec
from panorax.core.state import State, first_state
from panorax.core.step import scan_steps, update
from panorax.data import densities
from panorax.generative import flow_matching
from panorax.interop import flax as interop
from panorax.testing.tolerances import NUMBER

X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
Y = np.stack([X.sum(-1), X[:, 0] * X[:, 1]], -1)


class LinenMLP(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x, train: bool = True):
        x = flax.linen.BatchNorm(use_running_average=not train)(flax.linen.Dense(32)(x))
        return flax.linen.Dense(2)(jax.nn.relu(x))


class NNXMLP(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(3, 32, rngs=rngs)
        self.norm = nnx.BatchNorm(32, rngs=rngs)
        self.out = nnx.Linear(32, 2, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x):
        return self.out(self.dropout(jax.nn.relu(self.norm(self.hidden(x)))))


NETS = {
    "linen": interop.linen(LinenMLP(), jnp.zeros((1, 3)), mode=lambda train: {"train": train}),
    "nnx": interop.nnx(lambda rngs: NNXMLP(rngs)),
}


@pytest.mark.parametrize("kind", NETS)
def test_a_module_trains_and_updates_its_statistics(kind):
    net, tx = NETS[kind], optax.adam(1e-2)

    def loss_fn(params, extra, batch, key):
        prediction, extra = net.apply(params, extra, batch[0], key=key, train=True)
        return jnp.mean(jnp.square(prediction - batch[1])), (extra, {})

    def train_step(state, batch, key):
        params, opt, extra, metrics = update(
            loss_fn, tx, state.params, state.opt, state.extra, (X, Y), key
        )
        return State(params, opt, extra, state.step + 1), metrics

    params, extra = jax.jit(net.init)(jax.random.key(0))
    state = first_state(params, tx, extra)
    steps = jax.jit(functools.partial(scan_steps, train_step, n=40), static_argnames="n")
    middle, first = steps(state, (), jax.random.key(1))
    end, last = steps(middle, (), jax.random.key(1))
    assert last["loss"] < 0.5 * first["loss"]
    chex.assert_trees_all_equal_structs(end, state)
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(state.extra), jax.tree.leaves(end.extra))
        if a.dtype == jnp.float32
    )


def test_a_linen_net_computes_what_its_module_computes():
    net, module = NETS["linen"], LinenMLP()
    variables = module.init(jax.random.key(3), X)
    params, extra = net.init(jax.random.key(3))
    training = net.apply(params, extra, X, train=True)
    chex.assert_trees_all_equal(training, module.apply(variables, X, mutable=["batch_stats"]))
    evaluation = net.apply(params, extra, X)
    chex.assert_trees_all_equal(evaluation, (module.apply(variables, X, train=False), extra))


def test_an_nnx_net_computes_what_its_module_computes():
    net, module = NETS["nnx"], NNXMLP(nnx.Rngs(jax.random.key(3)))
    params, extra = net.init(jax.random.key(3))
    expected = module(X)
    outputs, after = net.apply(params, extra, X, train=True)
    np.testing.assert_allclose(outputs, expected, **NUMBER)
    np.testing.assert_allclose(after["norm"]["mean"], module.norm.mean[...], **NUMBER)
    module.eval()
    np.testing.assert_allclose(net.apply(params, after, X)[0], module(X), **NUMBER)


@pytest.mark.parametrize("kind", NETS)
def test_the_spec_declares_the_parameters_of_init(kind):
    net = NETS[kind]
    params, _ = net.init(jax.random.key(0))
    chex.assert_trees_all_equal_shapes(core_spec.init(net.spec, jax.random.key(0)), params)
    count = 3 * 32 + 32 + 64 + 32 * 2 + 2
    assert core_spec.count(net.spec) == sum(x.size for x in jax.tree.leaves(params)) == count
    dense = {"linen": "Dense_0", "nnx": "hidden"}[kind]
    assert core_spec.decays(net.spec)[dense] == {"kernel": True, "bias": False}


class Velocity(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x, t, label):
        h = jnp.concatenate([x, t[:, None], flax.linen.Embed(2, 4)(label)], -1)
        return flax.linen.Dense(2)(jax.nn.silu(flax.linen.Dense(64)(h)))


NET = interop.linen(Velocity(), jnp.zeros((1, 2)), jnp.zeros(1), jnp.zeros(1, int))


def test_a_flax_module_is_the_net_of_a_system():
    cfg = flow_matching.Config(data=densities.Config(n=64), batch=32, guidance=1.0)
    system = flow_matching.system(cfg, net=NET)
    state = jax.jit(system.init_state)(jax.random.key(0))
    batch = system.batches(0)
    on_batch = lambda state, _, key: system.train_step(state, batch, key)
    steps = jax.jit(lambda state: scan_steps(on_batch, state, (), jax.random.key(0), 30))
    state, first = steps(state)
    for _ in range(3):
        state, last = steps(state)
    assert last["loss"] < first["loss"]
    assert core_spec.count(system.spec) == 2 * 4 + 7 * 64 + 64 + 64 * 2 + 2
