"""The one gradient step: value and gradient, mean over micro-batches and devices, optimiser update."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from panorax.core.state import State

LossFn = Callable  # (params, extra, batch, key) -> (loss, (extra, metrics))


def device_mean(tree):
    """Mean over the mesh axes that each leaf varies over inside `shard_map`; the identity under plain `jit`.

    Taken of the *loss*, inside the differentiated function: with `check_vma=True` the gradient of a replicated
    parameter is already summed over devices, so a mean of gradients would be `n_devices` times too large.
    """

    def mean(x):
        varying = tuple(jax.typeof(x).manual_axis_type.varying)
        return jax.lax.pmean(x, varying) if varying else x

    return jax.tree.map(mean, tree)


def gradient(loss_fn: LossFn, params, extra, batch, key):
    """`(loss, (extra, metrics)), grads` of the mean loss over all devices."""

    def global_loss(params):
        loss, (new_extra, metrics) = loss_fn(params, extra, batch, key)
        return device_mean(loss), (new_extra, device_mean(metrics))

    return jax.value_and_grad(global_loss, has_aux=True)(params)


def accumulated_gradient(loss_fn: LossFn, params, extra, batch, key, n: int):
    """The gradient of the mean loss over `n` equal micro-batches, one in memory at a time.

    Leaves of `batch` are split along axis 0, whose length `n` must divide; `extra` passes from one micro-batch to the next.
    """
    micro = jax.tree.map(lambda x: x.reshape(n, x.shape[0] // n, *x.shape[1:]), batch)

    def body(carry, xs):
        extra, grads = carry
        (loss, (extra, metrics)), g = gradient(loss_fn, params, extra, *xs)
        return (extra, jax.tree.map(jnp.add, grads, g)), (loss, metrics)

    zeros = jax.tree.map(jnp.zeros_like, params)
    (extra, grads), per_micro = jax.lax.scan(body, (extra, zeros), (micro, jax.random.split(key, n)))
    loss, metrics = jax.tree.map(lambda x: jnp.mean(x, 0), per_micro)
    return (loss, (extra, metrics)), jax.tree.map(lambda g: g / n, grads)


def update(loss_fn: LossFn, tx: optax.GradientTransformation, state: State, batch, key, accumulate: int = 1):
    """One optimiser update; `state.step` is left to the caller, who may make several updates a step.

    Returns the state with new params, opt and extra, and the metrics of `loss_fn` with `loss` and `grad_norm` added.
    """
    if accumulate == 1:
        (loss, (extra, metrics)), grads = gradient(loss_fn, state.params, state.extra, batch, key)
    else:
        (loss, (extra, metrics)), grads = accumulated_gradient(loss_fn, state.params, state.extra, batch, key, accumulate)
    updates, opt = tx.update(grads, state.opt, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads), **metrics}
    return state.replace(params=params, opt=opt, extra=extra), metrics
