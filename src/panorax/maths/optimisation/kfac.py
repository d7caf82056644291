"""K-FAC: natural gradient with a Kronecker-factored Fisher matrix, as optax transformations.

A layer s = W^T a, with inputs a extended by a constant 1 for the bias, has the gradient a g^T in
W = [w; b], with g = d loss / d s. For labels drawn from the model, the block of the layer in the
Fisher matrix is E[a a^T (x) g g^T]. K-FAC approximates it as if a and g were independent:

    F_layer ~ A (x) G,   A = E a a^T,   G = E g g^T,        (A (x) G)^-1 vec V = vec A^-1 V G^-1
    convolution          a is the patch under the kernel at one of T positions:
                         A = E mean_t a_t a_t^T, G = E sum_t g_t g_t^T
    damping              (A + pi sqrt(l) I) (x) (G + sqrt(l) / pi I),
                         pi^2 = (tr A / dim A) / (tr G / dim G)
    moving average       A <- e A + (1 - e) A_now,   e = min(1 - 1/k, decay) in step k
    trust region         a step of length lr is shortened if lr^2 d . g, about twice its KL
                         divergence, exceeds kl_clip (Ba et al. 2017)
    or quadratic model   the step x d + y d_before minimises g . s + s^T (F + l I) s / 2 with the
                         exact F; l shrinks by 19/20 per step if the loss falls by more than 3/4 of
                         the prediction, and grows by 20/19 below 1/4

Tapped networks: net(params, taps, x) -> (outputs, inputs). `params` is a tree of layers {"w", "b"}.
`taps` has one array per layer, which is added to the outputs s of the layer; the gradient with
respect to it, at 0, is g. `inputs` are the a without the 1, patches for a convolution.
Source: Martens & Grosse 2015 (arXiv:1503.05671), sections 2, 5 and 6; Grosse & Martens 2016
(arXiv:1602.01407), section 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from panorax.core import struct
from panorax.maths.optimisation.fisher import Family, checked_damping, fisher_root_product

LEAST_DAMPING = 1e-8
"""smallest adapted damping; its square root is still above float32 rounding"""


@struct.dataclass
class Factors:
    """Kronecker factors of one layer, or their inverses."""

    a: Float[Array, "I+1 I+1"]
    """A over the inputs, the constant 1 of the bias last"""
    g: Float[Array, "O O"]
    """G over the outputs"""


def is_layer(x) -> bool:
    """True if a node of a tree holds the parameters of a linear layer or a convolution."""
    return isinstance(x, dict) and set(x) == {"w", "b"}


def map_layers(f: Callable, params, *others):
    """Maps f over the layers of `params` and the corresponding nodes of the trees `others`.

    Raises ValueError if `params` has an array outside of a layer, if a layer is not w (I, O) or
    (U, V, I, O) with b (O,), or if another tree has a different structure.
    """
    layers, tree = jax.tree.flatten(params, is_leaf=is_layer)
    for layer in layers:
        _check_layer(layer)
    try:
        others = [tree.flatten_up_to(other) for other in others]
    except (TypeError, ValueError) as error:
        raise ValueError(
            "statistics need one entry for each layer of the parameters, "
            f"in a tree of the same structure: {error}"
        ) from None
    return tree.unflatten(map(f, layers, *others))


def _check_layer(layer) -> None:
    if not is_layer(layer):
        raise ValueError(
            f"K-FAC needs layers {{'w', 'b'}}, got an array of shape {jnp.shape(layer)} "
            "outside of one"
        )
    w, b = jnp.shape(layer["w"]), jnp.shape(layer["b"])
    if len(w) not in (2, 4) or b != w[-1:]:
        raise ValueError(f"a layer is w (I, O) or (U, V, I, O) with b (O,), got {w} with {b}")


def weights(layer) -> Float[Array, "I+1 O"]:
    """W = [w; b] of a layer; a kernel (U, V, I, O) becomes a matrix of U V I rows."""
    return jnp.concatenate([layer["w"].reshape(-1, layer["w"].shape[-1]), layer["b"][None]])


def patches(
    x_BYXI: Float[Array, "B Y X I"], width: int, stride: int = 1, padding="SAME"
) -> Float[Array, "B Y2 X2 U*V*I"]:
    """Patches under a width x width kernel at each of its positions.

    `patches(x, width) @ w.reshape(-1, O)` is the convolution with the kernel w.
    """
    dimensions = ("NHWC", "HWIO", "NHWC")
    extracted = jax.lax.conv_general_dilated_patches(
        x_BYXI, (width, width), (stride, stride), padding, dimension_numbers=dimensions
    )
    by_channel = extracted.reshape(*extracted.shape[:3], x_BYXI.shape[-1], width**2)
    return by_channel.swapaxes(3, 4).reshape(extracted.shape)


def record(net: Callable, params, x):
    """Runs a tapped network; returns (outputs, inputs of the layers, pullback).

    The pullback maps the gradient in the outputs to the gradients in the s of each layer.
    """
    _, inputs = jax.eval_shape(
        lambda params, x: net(params, map_layers(lambda layer: 0.0, params), x), params, x
    )
    zeros = lambda layer, a: jnp.zeros((*a.shape[:-1], layer["w"].shape[-1]), layer["w"].dtype)
    outputs, pull, inputs = jax.vjp(
        lambda taps: net(params, taps, x), map_layers(zeros, params, inputs), has_aux=True
    )
    return outputs, inputs, lambda cotangent: pull(cotangent)[0]


def factors(params, inputs, slopes):
    """A and G of every layer.

    inputs: inputs of each layer, (B, ..., I).
    slopes: gradients of the loss of each point by the outputs of each layer, (B, ..., O).
    """

    def layer_factors(layer, a, g):
        a, g, points = a.reshape(-1, a.shape[-1]), g.reshape(-1, g.shape[-1]), len(g)
        a = jnp.concatenate([a, jnp.ones((len(a), 1), a.dtype)], 1)
        return Factors(a.T @ a / len(a), g.T @ g / points)

    return map_layers(layer_factors, params, inputs, slopes)


def sampled_factors(net: Callable, family: Family, params, x, key):
    """A and G, with G from one label per point drawn from the model; costs two passes."""
    outputs, inputs, pull = record(net, params, x)
    return factors(params, inputs, pull(family.mean(outputs) - family.sample(key, outputs)))


def exact_factors(net: Callable, family: Family, params, x):
    """A and G, with G over all labels; costs one backward pass per column of `family.root`."""
    outputs, inputs, pull = record(net, params, x)
    by_column = jax.vmap(lambda column: factors(params, inputs, pull(column)))(
        jnp.moveaxis(family.root(outputs), 2, 0)
    )
    return map_layers(
        lambda layer, factor: Factors(factor.a[0], jnp.sum(factor.g, 0)), params, by_column
    )


def block(factor: Factors) -> Float[Array, "P P"]:
    """A (x) G, the block of the Fisher matrix over the entries of W in row-major order."""
    return jnp.kron(factor.a, factor.g)


def inverses(factor: Factors, damping) -> Factors:
    """Inverses of both damped factors; NaN if they are singular and the damping is 0."""
    size = lambda m: jnp.trace(m) / len(m)
    alive = (size(factor.a) > 0) & (size(factor.g) > 0)
    pi = jnp.where(alive, jnp.sqrt(size(factor.a) / jnp.where(alive, size(factor.g), 1)), 1)
    root = jnp.sqrt(jnp.asarray(damping, factor.a.dtype))

    def inverse(m, shift):
        eye = jnp.eye(len(m), dtype=m.dtype)
        half = solve_triangular(jnp.linalg.cholesky(m + shift * eye), eye, lower=True)
        return half.T @ half

    return Factors(inverse(factor.a, pi * root), inverse(factor.g, root / pi))


def precondition(layer, inverse: Factors):
    """A^-1 V G^-1 for the gradient V of one layer, as a layer."""
    d = inverse.a @ weights(layer) @ inverse.g
    return {"w": d[:-1].reshape(layer["w"].shape), "b": d[-1]}


class Preconditioner(NamedTuple):
    """State of both transformations."""

    step: Array
    """number of updates"""
    factors: Any
    """moving averages of the factors, a tree of `Factors`"""
    inverses: Any
    """damped inverses of the factors when last refreshed"""
    before: Any
    """momentum of `kfac`, or the last step of `adaptive_kfac`"""


def _start(params) -> Preconditioner:
    def empty(layer):
        rows, columns = weights(layer).shape
        return Factors(
            jnp.zeros((rows, rows), layer["w"].dtype),
            jnp.zeros((columns, columns), layer["w"].dtype),
        )

    zeros = map_layers(empty, params)
    return Preconditioner(jnp.int32(0), zeros, zeros, jax.tree.map(jnp.zeros_like, params))


def _preconditioned(grads, state: Preconditioner, now, decay: float, refresh, damping):
    """F^-1 g and the next state; the inverses are recomputed if `refresh`."""
    if now is None:
        raise ValueError(
            "K-FAC needs the statistics of this step: update(grads, state, params, factors=...)"
        )
    step, keep = state.step + 1, jnp.minimum(1 - 1 / (state.step + 1), decay)

    def average(layer, old, new):
        if not isinstance(new, Factors) or (new.a.shape, new.g.shape) != (old.a.shape, old.g.shape):
            raise ValueError(
                f"a layer with w of shape {layer['w'].shape} needs Factors of shapes "
                f"{old.a.shape} and {old.g.shape}"
            )
        finite = jnp.isfinite(jnp.sum(new.a)) & jnp.isfinite(jnp.sum(new.g))
        mix = lambda old, new: keep.astype(old.dtype) * old + (1 - keep).astype(old.dtype) * new
        return jax.tree.map(lambda old, new: jnp.where(finite, mix(old, new), old), old, new)

    averages = map_layers(average, grads, state.factors, now)
    invert = lambda: map_layers(lambda layer, factor: inverses(factor, damping), grads, averages)
    inverse = jax.lax.cond(refresh, invert, lambda: state.inverses)
    state = state._replace(step=step, factors=averages, inverses=inverse)
    return map_layers(precondition, grads, inverse), state


def _checked(damping: float, decay: float, every: int) -> None:
    checked_damping(damping, zero=False)
    if not 0 <= decay < 1 or every < 1:
        raise ValueError(f"decay must be in [0, 1) and every at least 1, got {decay} and {every}")


def kfac(
    learning_rate: float,
    damping: float,
    decay: float = 0.95,
    every: int = 10,
    kl_clip: float = 1e-3,
    momentum: float = 0.9,
) -> optax.GradientTransformationExtraArgs:
    """K-FAC with a learning rate, KL clipping and momentum.

    d = F^-1 g is scaled by min(1, sqrt(kl_clip / (lr^2 d . g))); v <- momentum v + d; the update is
    -lr v. The inverses are recomputed every `every` steps.

    update(grads, state, params, factors=...) takes the factors of the batch, from
    `sampled_factors`. The moving averages skip factors of a layer that are not finite. A gradient
    that is not finite gives an update that is not finite (`optax.apply_if_finite` skips it).
    Raises ValueError for a learning rate, damping or kl_clip that is not positive, a decay or
    momentum outside [0, 1), and factors that do not fit the layers.
    """
    _checked(damping, decay, every)
    if not (learning_rate > 0 and kl_clip > 0 and 0 <= momentum < 1):
        raise ValueError(
            "learning_rate and kl_clip must be above 0, momentum in [0, 1), "
            f"got {learning_rate}, {kl_clip} and {momentum}"
        )

    def update(grads, state, params=None, *, factors=None, **unused):
        d, state = _preconditioned(grads, state, factors, decay, state.step % every == 0, damping)
        length = learning_rate**2 * optax.tree.vdot(d, grads)
        tiny = jnp.finfo(length.dtype).tiny
        scale = jnp.minimum(1.0, jnp.sqrt(kl_clip / jnp.maximum(length, tiny)))
        velocity = jax.tree.map(lambda v, d: momentum * v + scale * d, state.before, d)
        return jax.tree.map(lambda v: -learning_rate * v, velocity), state._replace(before=velocity)

    return optax.GradientTransformationExtraArgs(_start, update)


class Adaptive(NamedTuple):
    """State of `adaptive_kfac`."""

    preconditioner: Preconditioner
    damping: Array
    """current damping [l]"""


def adaptive_kfac(
    damping: float = 1.0, decay: float = 0.95, every: int = 5
) -> optax.GradientTransformationExtraArgs:
    """K-FAC without a learning rate: step length and momentum minimise the quadratic model.

    Every `every` steps the damping l adapts to the agreement of the loss with the model. The
    inverses are recomputed in these steps and in the first three.

    update(grads, state, params, factors=..., root_product=..., loss=...) takes

    factors: the factors of the batch, from `sampled_factors`.
    root_product: the products v -> R v with R^T R = F (`fisher.fisher_root_product`).
    loss: the loss of the batch as a function of the parameters.

    A loss that is not finite after the step raises the damping; other values that are not finite
    are treated as in `kfac`.
    Raises ValueError for a damping that is not positive, a decay outside [0, 1), and factors that
    do not fit the layers.
    """
    _checked(damping, decay, every)

    def init(params):
        state = _start(params)
        return Adaptive(state, jnp.asarray(damping, jax.tree.leaves(params)[0].dtype))

    def update(grads, state, params=None, *, factors=None, root_product=None, loss=None, **unused):
        if params is None or root_product is None or loss is None:
            raise ValueError(
                "adaptive K-FAC needs params, root_product and loss: "
                "update(grads, state, params, factors=..., root_product=..., loss=...)"
            )
        inner, l = state
        refresh = (inner.step % every == 0) | (inner.step < 3)
        d, inner = _preconditioned(grads, inner, factors, decay, refresh, l)
        step, predicted = quadratic_step(grads, d, inner.before, root_product, l)

        def adapted():
            rho = (loss(optax.apply_updates(params, step)) - loss(params)) / predicted
            rho = jnp.where(jnp.isfinite(rho), rho, -jnp.inf)
            shrink = (19 / 20) ** every
            factor = jnp.where(rho > 0.75, shrink, jnp.where(rho < 0.25, 1 / shrink, 1))
            return jnp.maximum(l * factor.astype(l.dtype), LEAST_DAMPING)

        l = jax.lax.cond(inner.step % every == 0, adapted, lambda: l)
        return step, Adaptive(inner._replace(before=step), l)

    return optax.GradientTransformationExtraArgs(init, update)


def fed(
    tx: optax.GradientTransformation, net: Callable, family: Family, inputs: Callable
) -> optax.GradientTransformationExtraArgs:
    """Feeds `tx` with the K-FAC statistics of each batch, as the optimiser of a system.

    `net` is a tapped network, `inputs(batch)` its inputs. `panorax.core.step.update` passes the
    extra arguments `batch`, `key` and `value_fn`. The compiler removes statistics that `tx` does
    not read.
    """
    tx = optax.with_extra_args_support(tx)

    def update(grads, state, params, *, batch, key, value_fn, **unused):
        x = inputs(batch)
        outputs = lambda params: net(params, map_layers(lambda layer: 0.0, params), x)[0]
        return tx.update(
            grads,
            state,
            params,
            factors=sampled_factors(net, family, params, x, key),
            root_product=lambda v: fisher_root_product(outputs, family, params, v),
            loss=value_fn,
        )

    return optax.GradientTransformationExtraArgs(tx.init, update)


def quadratic_step(grads, d, before, root_product: Callable, damping):
    """The step s = x d + y before that minimises g . s + s^T (F + damping I) s / 2, and its value.

    y is 0 if `before` is 0 or parallel to d.
    """
    vdot = optax.tree.vdot
    rd, rb = root_product(d), root_product(before)
    dd, db, bb = (
        jnp.vdot(p, q) + damping * vdot(u, v)
        for p, q, u, v in ((rd, rd, d, d), (rd, rb, d, before), (rb, rb, before, before))
    )
    gd, gb = vdot(grads, d), vdot(grads, before)
    determinant = dd * bb - db**2
    both = determinant > 10 * jnp.finfo(dd.dtype).eps * dd * bb
    over = jnp.where(both, determinant, 1)
    x = jnp.where(both, (db * gb - bb * gd) / over, -gd / jnp.where(dd > 0, dd, 1))
    y = jnp.where(both, (db * gd - dd * gb) / over, 0)
    return jax.tree.map(lambda d, b: x * d + y * b, d, before), 0.5 * (x * gd + y * gb)
