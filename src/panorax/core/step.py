"""The gradient step of every system, and scans over many steps.

`update` computes the gradient, averages it over micro-batches and devices, and applies an optax
update. It takes no State, because a system may call it several times per step: once per player of a
GAN, once per minibatch of PPO.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core.state import State

LossFn = Callable  # (params, extra, batch, key) -> (loss, (extra, metrics))


def axes_of(tree) -> frozenset:
    """The mesh axes over which any leaf of `tree` varies inside `shard_map`; empty outside."""
    return frozenset().union(
        *(jax.typeof(x).manual_axis_type.varying for x in jax.tree.leaves(tree))
    )


def device_mean(tree):
    """The mean of each leaf over the devices that it varies over."""
    return jax.tree.map(lambda x: jax.lax.pmean(x, tuple(axes_of(x))) if axes_of(x) else x, tree)


def copies(tree, axes: frozenset):
    """Marks `tree` as varying over `axes`, a copy per device; the transpose sums over devices."""
    return jax.tree.map(lambda x: jax.lax.pcast(x, tuple(axes - axes_of(x)), to="varying"), tree)


def accumulated_gradient(loss_fn: LossFn, params, extra, batch, key, n: int):
    """Value and gradient of the mean loss over `n` micro-batches, processed one at a time.

    The result has the form of `jax.value_and_grad(loss_fn, has_aux=True)`, with metrics averaged.
    Leaves of `batch` are split along axis 0, whose length `n` must divide. `extra` passes from one
    micro-batch to the next.
    """
    micro = jax.tree.map(lambda x: x.reshape(n, x.shape[0] // n, *x.shape[1:]), batch)

    def body(carry, xs):
        extra, grads = carry
        (loss, (extra, metrics)), g = jax.value_and_grad(loss_fn, has_aux=True)(params, extra, *xs)
        return (extra, jax.tree.map(jnp.add, grads, g)), (loss, metrics)

    zeros = jax.tree.map(jnp.zeros_like, params)
    (extra, grads), per_micro = jax.lax.scan(
        body, (extra, zeros), (micro, jax.random.split(key, n))
    )
    loss, metrics = jax.tree.map(lambda x: jnp.mean(x, 0), per_micro)
    return (loss, (extra, metrics)), jax.tree.map(lambda g: g / n, grads)


def update(
    loss_fn: LossFn,
    tx: optax.GradientTransformation,
    params,
    opt,
    extra,
    batch,
    key,
    accumulate: int = 1,
):
    """One update of `params` by `tx`: returns `(params, opt, extra, metrics)`.

    loss_fn: (params, extra, batch, key) -> (loss, (extra, metrics)).
    accumulate: number of micro-batches that `batch` is split into.

    The returned metrics are the metrics of `loss_fn`, `loss` and `grad_norm`. A transformation with
    extra arguments receives `value`, `grad`, `value_fn` and `obj_fn` (the loss as a function of the
    parameters), `batch` and `key`.

    Inside `shard_map` this is the gradient of the mean loss over devices. Each device
    differentiates its own loss with respect to its own copy of the parameters, and the gradients of
    the copies are summed once at the end. Under check_vma=True, JAX would otherwise sum over
    devices wherever a parameter is used: in every micro-batch and every layer of a scan. A later
    mean over devices would not change that sum.
    """
    local, sum_over_devices = jax.vjp(
        lambda params: copies(params, axes_of((extra, batch, key))), params
    )
    if accumulate == 1:
        (loss, (after, metrics)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            local, extra, batch, key
        )
    else:
        (loss, (after, metrics)), grads = accumulated_gradient(
            loss_fn, local, extra, batch, key, accumulate
        )
    devices = math.prod(jax.lax.axis_size(axis) for axis in axes_of(loss))
    (grads,) = sum_over_devices(jax.tree.map(lambda g: g / devices, grads))
    loss, metrics = device_mean((loss, metrics))

    def value_fn(params):
        return device_mean(loss_fn(params, extra, batch, key)[0])

    updates, opt = optax.with_extra_args_support(tx).update(
        grads,
        opt,
        params,
        value=loss,
        grad=grads,
        value_fn=value_fn,
        obj_fn=value_fn,
        batch=batch,
        key=key,
    )
    params = optax.apply_updates(params, updates)
    return params, opt, after, {"loss": loss, "grad_norm": optax.tree.norm(grads), **metrics}


def descend(loss: Callable, tx: optax.GradientTransformation, params, keys):
    """Minimises `loss(params, key)` by one update of `tx` per key; returns params and all losses.

    Use it to train a network without state inside a larger program. It is pure: `vmap` it over
    seeds.
    """

    def loss_fn(params, extra, batch, key):
        return loss(params, batch), (extra, {})

    def step(carry, key):
        params, opt, _, metrics = update(loss_fn, tx, *carry, (), key, None)
        return (params, opt), metrics["loss"]

    (params, _), losses = jax.lax.scan(step, (params, tx.init(params)), keys)
    return params, losses


class Keys(NamedTuple):
    """The random keys of a run, one for each purpose."""

    init: jax.Array
    train: jax.Array
    evaluate: jax.Array
    report: jax.Array


def keys_of(seed: int) -> Keys:
    """The keys of a run with this seed."""
    init, fit, report = jax.random.split(jax.random.key(seed), 3)
    train, evaluate = jax.random.split(fit)
    return Keys(init, train, evaluate, report)


def scan_steps(train_step: Callable, state: State, batches, key: jax.Array, n: int):
    """Runs `n` training steps; returns `(state, metrics)`, the metrics averaged over the steps.

    Leaves of `batches` are stacked (n, ...); `batches` is `()` for a system that makes its own
    data. The key of a step is `fold_in(key, state.step)`. This is pure: `jit` it once, or `vmap` it
    over states and keys to train many seeds at a time.
    """

    def body(state, batch):
        return train_step(state, batch, jax.random.fold_in(key, state.step))

    state, metrics = jax.lax.scan(body, state, batches, length=n)
    return state, jax.tree.map(lambda x: jnp.mean(x.astype(jnp.float32), 0), metrics)


def stacked(batches: Callable[[int], Any], start: int, n: int):
    """The batches of steps start .. start + n - 1, stacked along a new first axis."""
    return jax.tree.map(lambda *xs: np.stack(xs), *[batches(start + i) for i in range(n)])


def evaluated(
    evaluate: Callable, state: State, batches: Iterable, key: jax.Array
) -> dict[str, jax.Array]:
    """Metrics over all batches: the sum of the totals of `evaluate` over the sum of its weights.

    The key of batch i is `fold_in(key, i)`. Raises ValueError if there is no batch.
    """
    sums = None
    for i, batch in enumerate(batches):
        pairs = evaluate(state, batch, jax.random.fold_in(key, i))
        sums = pairs if sums is None else jax.tree.map(jnp.add, sums, pairs)
    if sums is None:
        raise ValueError("there is no held-out batch to evaluate")
    return {name: total / weight for name, (total, weight) in sums.items()}
