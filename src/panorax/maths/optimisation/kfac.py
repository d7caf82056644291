"""K-FAC: the Fisher matrix of each layer as a Kronecker product, inverted by its factors; an optax transformation fed with the statistics of the layers.

A layer s = W^T a, a its inputs and a last 1 for the bias, has the gradient a g^T in W = [w; b], with g = d loss / d s. Over labels drawn from the model its
block of the Fisher matrix is E[a a^T (x) g g^T], taken as if a and g were independent:

    F_layer ~ A (x) G,   A = E a a^T,   G = E g g^T,        (A (x) G)^-1 vec V = vec A^-1 V G^-1
    convolution          a is the patch under the kernel at one of T positions: A = E mean_t a_t a_t^T, G = E sum_t g_t g_t^T
    damping              (A + pi sqrt(l) I) (x) (G + sqrt(l) / pi I),   pi^2 = (tr A / dim A) / (tr G / dim G)
    moving average       A <- e A + (1 - e) A_now,   e = min(1 - 1/k, decay) in step k
    trust region         step of length lr, shortened where lr^2 d . g > kl_clip, about twice the KL that the step makes       (Ba et al. 2017)
    or quadratic model   the step x d + y d_before that minimises g . s + s^T (F + l I) s / 2 with the exact F;
                         l falls by 19/20 a step where the loss falls by more than 3/4 of what the model says, and rises below 1/4

How a net is tapped: net(params, taps, x) -> (outputs, inputs). `params` is a tree whose layers are {"w", "b"}; `taps`, a tree with one array for each layer,
is added to the outputs s of the layers, so that the gradient with respect to it, at 0, is g; `inputs` are the a, without the 1, patches for a convolution.
Source: Martens & Grosse 2015 (arXiv:1503.05671), sections 2, 5 and 6; Grosse & Martens 2016 (arXiv:1602.01407), section 3.
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
"""below it the square root of the damping is lost in the rounding of float32"""


@struct.dataclass
class Factors:
    """Of one layer: A over the inputs, the one of the bias last, and G over the outputs; or their inverses."""

    a: Float[Array, "I+1 I+1"]
    g: Float[Array, "O O"]


def is_layer(x) -> bool:
    """Whether a node of a tree is the parameters of an affine map or of a convolution."""
    return isinstance(x, dict) and set(x) == {"w", "b"}


def map_layers(f: Callable, params, *others):
    """f(layer, ...) of every layer of `params` and what `others` hold in its place. Raises ValueError where `params` has an array outside of a layer, a layer
    is neither (I, O) nor (U, V, I, O) with a bias (O,), or another tree has not these layers."""
    for leaf in jax.tree.leaves(params, is_leaf=is_layer):
        if not is_layer(leaf):
            raise ValueError(
                f"K-FAC is for layers {{'w', 'b'}}, got an array of shape {jnp.shape(leaf)} outside of one"
            )
        if jnp.ndim(leaf["w"]) not in (2, 4) or jnp.shape(leaf["b"]) != jnp.shape(leaf["w"])[-1:]:
            raise ValueError(
                f"a layer is w (I, O) or (U, V, I, O) with b (O,), got {jnp.shape(leaf['w'])} with {jnp.shape(leaf['b'])}"
            )
    layers, tree = jax.tree.flatten(params, is_leaf=is_layer)
    try:
        others = [tree.flatten_up_to(other) for other in others]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"statistics need one entry for each layer of the parameters, in a tree of the same shape: {error}"
        ) from None
    return tree.unflatten(map(f, layers, *others))


def weights(layer) -> Float[Array, "I+1 O"]:
    """W = [w; b] of a layer, a kernel (U, V, I, O) as a matrix of U V I rows."""
    return jnp.concatenate([layer["w"].reshape(-1, layer["w"].shape[-1]), layer["b"][None]])


def patches(
    x_BYXI: Float[Array, "B Y X I"], width: int, stride: int = 1, padding="SAME"
) -> Float[Array, "B Y2 X2 U*V*I"]:
    """What lies under a kernel of width x width at each of its positions, in the order of the kernel's numbers: patches @ w.reshape(-1, O) is the convolution."""
    dimensions = ("NHWC", "HWIO", "NHWC")
    found = jax.lax.conv_general_dilated_patches(
        x_BYXI, (width, width), (stride, stride), padding, dimension_numbers=dimensions
    )
    by_channel = found.reshape(*found.shape[:3], x_BYXI.shape[-1], width**2)
    return by_channel.swapaxes(3, 4).reshape(found.shape)


def record(net: Callable, params, x):
    """(outputs, inputs of the layers, the function from the gradient in the outputs to that in each s)."""
    _, inputs = jax.eval_shape(
        lambda params, x: net(params, map_layers(lambda layer: 0.0, params), x), params, x
    )
    zeros = lambda layer, a: jnp.zeros((*a.shape[:-1], layer["w"].shape[-1]), layer["w"].dtype)
    outputs, pull, inputs = jax.vjp(
        lambda taps: net(params, taps, x), map_layers(zeros, params, inputs), has_aux=True
    )
    return outputs, inputs, lambda cotangent: pull(cotangent)[0]


def factors(params, inputs, slopes):
    """A and G of every layer from its inputs (B, ..., I) and the gradients (B, ..., O) of each point's own loss in its outputs."""

    def of(layer, a, g):
        a, g, points = a.reshape(-1, a.shape[-1]), g.reshape(-1, g.shape[-1]), len(g)
        a = jnp.concatenate([a, jnp.ones((len(a), 1), a.dtype)], 1)
        return Factors(a.T @ a / len(a), g.T @ g / points)

    return map_layers(of, params, inputs, slopes)


def sampled_factors(net: Callable, family: Family, params, x, key):
    """The factors, G from one label a point that is drawn from the model: two passes."""
    outputs, inputs, pull = record(net, params, x)
    return factors(params, inputs, pull(family.mean(outputs) - family.sample(key, outputs)))


def exact_factors(net: Callable, family: Family, params, x):
    """The factors, G over all labels: one backward pass for each column of the root of the family."""
    outputs, inputs, pull = record(net, params, x)
    each = jax.vmap(lambda column: factors(params, inputs, pull(column)))(
        jnp.moveaxis(family.root(outputs), 2, 0)
    )
    return map_layers(lambda layer, f: Factors(f.a[0], jnp.sum(f.g, 0)), params, each)


def block(factor: Factors) -> Float[Array, "P P"]:
    """A (x) G, the block over the numbers of W row by row."""
    return jnp.kron(factor.a, factor.g)


def inverses(factor: Factors, damping) -> Factors:
    """The inverses of both factors, damped as above; NaN where they are singular and the damping is 0."""
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
    """A^-1 V G^-1 of the gradient V of one layer, as a layer."""
    d = inverse.a @ weights(layer) @ inverse.g
    return {"w": d[:-1].reshape(layer["w"].shape), "b": d[-1]}


class Preconditioner(NamedTuple):
    """What both transformations carry: how many updates were made, the moving averages of the factors, their inverses when last refreshed, the step before."""

    step: Array
    factors: Any
    inverses: Any
    before: Any


def _start(params) -> Preconditioner:
    def empty(layer):
        rows, columns = weights(layer).shape
        return Factors(
            jnp.zeros((rows, rows), layer["w"].dtype),
            jnp.zeros((columns, columns), layer["w"].dtype),
        )

    none = map_layers(empty, params)
    return Preconditioner(jnp.int32(0), none, none, jax.tree.map(jnp.zeros_like, params))


def _preconditioned(grads, state: Preconditioner, now, decay: float, refresh, damping):
    """(F^-1 g, state with the factors of this step, and with new inverses where `refresh`)."""
    if now is None:
        raise ValueError(
            "K-FAC needs the statistics of this step: update(grads, state, params, factors=...)"
        )
    step, keep = state.step + 1, jnp.minimum(1 - 1 / (state.step + 1), decay)

    def average(layer, old, new):
        if not isinstance(new, Factors) or (new.a.shape, new.g.shape) != (old.a.shape, old.g.shape):
            raise ValueError(
                f"a layer with w of shape {layer['w'].shape} needs Factors of shapes {old.a.shape} and {old.g.shape}"
            )
        finite = jnp.isfinite(jnp.sum(new.a)) & jnp.isfinite(jnp.sum(new.g))
        return jax.tree.map(
            lambda old, new: jnp.where(
                finite, keep.astype(old.dtype) * old + (1 - keep).astype(old.dtype) * new, old
            ),
            old,
            new,
        )

    kept = map_layers(average, grads, state.factors, now)
    renewed = lambda: map_layers(lambda layer, factor: inverses(factor, damping), grads, kept)
    inverse = jax.lax.cond(refresh, renewed, lambda: state.inverses)
    return map_layers(precondition, grads, inverse), state._replace(
        step=step, factors=kept, inverses=inverse
    )


def _checked(damping: float, decay: float, every: int) -> None:
    checked_damping(damping, zero=False)
    if not 0 <= decay < 1 or every < 1:
        raise ValueError(
            f"decay must be at least 0 and below 1 and every at least 1, got {decay} and {every}"
        )


def kfac(
    learning_rate: float,
    damping: float,
    decay: float = 0.95,
    every: int = 10,
    kl_clip: float = 1e-3,
    momentum: float = 0.9,
) -> optax.GradientTransformationExtraArgs:
    """d = F^-1 g scaled by min(1, sqrt(kl_clip / (lr^2 d . g))), v <- momentum v + d, update -lr v. The inverses are renewed in every `every`-th step.

    update(grads, state, params, factors=...) takes the factors of the batch, from `sampled_factors`. Factors of a layer that are not finite are left out of the
    averages; a gradient that is not finite makes an update that is not, as in any optax transformation (`optax.apply_if_finite` skips it).
    Raises ValueError for a learning rate, damping or kl_clip that is not positive, shares outside of [0, 1), and factors that do not fit the layers.
    """
    _checked(damping, decay, every)
    if not (learning_rate > 0 and kl_clip > 0 and 0 <= momentum < 1):
        raise ValueError(
            f"learning_rate and kl_clip must be above 0, momentum in [0, 1), got {learning_rate}, {kl_clip} and {momentum}"
        )

    def update(grads, state, params=None, *, factors=None, **unused):
        d, state = _preconditioned(grads, state, factors, decay, state.step % every == 0, damping)
        length = learning_rate**2 * optax.tree.vdot(d, grads)
        scale = jnp.minimum(
            1.0, jnp.sqrt(kl_clip / jnp.maximum(length, jnp.finfo(length.dtype).tiny))
        )
        velocity = jax.tree.map(lambda v, d: momentum * v + scale * d, state.before, d)
        return jax.tree.map(lambda v: -learning_rate * v, velocity), state._replace(before=velocity)

    return optax.GradientTransformationExtraArgs(_start, update)


class Adaptive(NamedTuple):
    """The preconditioner and the damping."""

    preconditioner: Preconditioner
    damping: Array


def adaptive_kfac(
    damping: float = 1.0, decay: float = 0.95, every: int = 5
) -> optax.GradientTransformationExtraArgs:
    """K-FAC without a learning rate: the length of the step and its momentum minimise the quadratic model at the top of this file, and every `every` steps the
    damping l is set by how well the model foretold the loss, as the inverses are renewed (in the first three steps too).

    update(grads, state, params, factors=..., root_product=..., loss=...) takes beside the factors the products v -> R v with R^T R = F of the batch
    (`fisher.fisher_root_product`) and the loss of the batch as a function of the parameters. Not finite numbers are treated as by `kfac`; a loss that is
    not finite after the step counts as a failure of the model. Raises ValueError for a damping that is not positive and what `kfac` refuses.
    """
    _checked(damping, decay, every)

    def init(params):
        state = _start(params)
        return Adaptive(state, jnp.asarray(damping, jax.tree.leaves(params)[0].dtype))

    def update(grads, state, params=None, *, factors=None, root_product=None, loss=None, **unused):
        if params is None or root_product is None or loss is None:
            raise ValueError(
                "adaptive K-FAC needs params, root_product and loss: update(grads, state, params, factors=..., root_product=..., loss=...)"
            )
        inner, l = state
        d, inner = _preconditioned(
            grads, inner, factors, decay, (inner.step % every == 0) | (inner.step < 3), l
        )
        step, foretold = quadratic_step(grads, d, inner.before, root_product, l)

        def judged():
            share = (loss(optax.apply_updates(params, step)) - loss(params)) / foretold
            share = jnp.where(jnp.isfinite(share), share, -jnp.inf)
            factor = (19 / 20) ** every
            return jnp.maximum(
                l
                * jnp.where(share > 0.75, factor, jnp.where(share < 0.25, 1 / factor, 1)).astype(
                    l.dtype
                ),
                LEAST_DAMPING,
            )

        l = jax.lax.cond(inner.step % every == 0, judged, lambda: l)
        return step, Adaptive(inner._replace(before=step), l)

    return optax.GradientTransformationExtraArgs(init, update)


def fed(
    tx: optax.GradientTransformation, net: Callable, family: Family, inputs: Callable
) -> optax.GradientTransformationExtraArgs:
    """`tx` with what K-FAC takes besides the gradient, made in every update from the batch: the optimiser of a system.

    `net` is tapped as at the top of this file, without taps if they are zeros; `inputs(batch)` are its inputs. The extra
    arguments `batch`, `key` and `value_fn` are those that `panorax.core.step.update` gives. What `tx` does not read costs
    nothing once it is compiled.
    """
    tx = optax.with_extra_args_support(tx)

    def update(grads, state, params, *, batch, key, value_fn, **unused):
        x = inputs(batch)
        outputs = lambda params: net(params, map_layers(lambda layer: 0.0, params), x)[0]
        return tx.update(
            grads, state, params,
            factors=sampled_factors(net, family, params, x, key),
            root_product=lambda v: fisher_root_product(outputs, family, params, v),
            loss=value_fn,
        )  # fmt: skip

    return optax.GradientTransformationExtraArgs(tx.init, update)


def quadratic_step(grads, d, before, root_product: Callable, damping):
    """(x d + y before, what it adds to the model) with x and y that minimise g . s + s^T (F + damping I) s / 2; without `before` where that is 0 or along d."""
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
