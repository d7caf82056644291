"""The one gradient step: value and gradient, mean over micro-batches and devices, optimiser update."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from panorax.core.state import State

LossFn = Callable  # (params, extra, batch, key) -> (loss, (extra, metrics))


def axes_of(tree) -> frozenset:
    """The mesh axes that some leaf of `tree` varies over inside `shard_map`; none under plain `jit`."""
    return frozenset().union(*(jax.typeof(x).manual_axis_type.varying for x in jax.tree.leaves(tree)))


def device_mean(tree):
    """Each leaf's mean over the devices that it varies over."""
    return jax.tree.map(lambda x: jax.lax.pmean(x, tuple(axes_of(x))) if axes_of(x) else x, tree)


def copies(tree, axes: frozenset):
    """`tree` as one copy for each device along `axes`: the same numbers, typed as varying. The transpose is the sum over devices."""
    return jax.tree.map(lambda x: jax.lax.pcast(x, tuple(axes - axes_of(x)), to="varying"), tree)


def accumulated_gradient(loss_fn: LossFn, params, extra, batch, key, n: int):
    """What `jax.value_and_grad` gives for the mean loss over `n` equal micro-batches, one in memory at a time.

    Leaves of `batch` are split along axis 0, whose length `n` must divide; `extra` passes from one micro-batch to the next.
    """
    micro = jax.tree.map(lambda x: x.reshape(n, x.shape[0] // n, *x.shape[1:]), batch)

    def body(carry, xs):
        extra, grads = carry
        (loss, (extra, metrics)), g = jax.value_and_grad(loss_fn, has_aux=True)(params, extra, *xs)
        return (extra, jax.tree.map(jnp.add, grads, g)), (loss, metrics)

    zeros = jax.tree.map(jnp.zeros_like, params)
    (extra, grads), per_micro = jax.lax.scan(body, (extra, zeros), (micro, jax.random.split(key, n)))
    loss, metrics = jax.tree.map(lambda x: jnp.mean(x, 0), per_micro)
    return (loss, (extra, metrics)), jax.tree.map(lambda g: g / n, grads)


def update(loss_fn: LossFn, tx: optax.GradientTransformation, state: State, batch, key, accumulate: int = 1):
    """One optimiser update; `state.step` is left to the caller, who may make several updates a step.

    Returns the state with new params, opt and extra, and the metrics of `loss_fn` with `loss` and `grad_norm` added.

    Inside `shard_map` the gradient is that of the mean loss over devices. Each differentiates its own loss by its own copy of the parameters, and
    the copies' gradients are summed once at the end. Left to the types (check_vma=True), JAX would sum them wherever a parameter is used: once in every
    micro-batch and every layer of a scan, and as a sum, so that taking a mean of it afterwards would change nothing.
    """
    local, sum_over_devices = jax.vjp(lambda params: copies(params, axes_of((state.extra, batch, key))), state.params)
    if accumulate == 1:
        (loss, (extra, metrics)), grads = jax.value_and_grad(loss_fn, has_aux=True)(local, state.extra, batch, key)
    else:
        (loss, (extra, metrics)), grads = accumulated_gradient(loss_fn, local, state.extra, batch, key, accumulate)
    devices = math.prod(jax.lax.axis_size(axis) for axis in axes_of(loss))
    (grads,) = sum_over_devices(jax.tree.map(lambda g: g / devices, grads))
    updates, opt = tx.update(grads, state.opt, state.params)
    params = optax.apply_updates(state.params, updates)
    loss, metrics = device_mean((loss, metrics))
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads), **metrics}
    return state.replace(params=params, opt=opt, extra=extra), metrics


def descend(loss: Callable, tx: optax.GradientTransformation, params, keys):
    """`params` after an update of `tx` down `loss(params, key)` for each of `keys`, and the losses on the way: what is trained inside of a larger program
    and keeps nothing else. Pure: `vmap` it over seeds and settings."""

    def step(carry, key):
        params, opt = carry
        value, grads = jax.value_and_grad(loss)(params, key)
        updates, opt = tx.update(grads, opt, params)
        return (optax.apply_updates(params, updates), opt), value

    (params, _), values = jax.lax.scan(step, (params, tx.init(params)), keys)
    return params, values
