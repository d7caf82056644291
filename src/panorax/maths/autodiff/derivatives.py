"""Derivatives of single equations, the rules of `panorax.maths.autodiff.chain_rule`.

ELEMENTWISE   name -> function of the arguments and the result that gives the derivative by each
              argument, None if there is none
LINEAR        name -> number of linear arguments, and the transpose: a function of cotangents and
              arguments that gives cotangents of all arguments
BILINEAR      name -> function of an index (0 or 1), a cotangent and both arguments that gives the
              cotangent of the argument at that index
CONSTANT      names of primitives whose derivative is 0
"""

import functools
import math
import string
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

CONSTANT = {
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "and",
    "or",
    "not",
    "xor",
    "sign",
    "floor",
    "ceil",
    "round",
    "rem",
    "is_finite",
    "iota",
    "argmax",
    "argmin",
    "stop_gradient",
    "random_bits",
    "random_wrap",
    "random_unwrap",
    "random_fold_in",
    "random_split",
    "shift_left",
    "shift_right_logical",
    "bitcast_convert_type",
    "create_token",
    "reduce_and",
    "reduce_or",
}


def _chosen(a, b, out):
    """Derivative of max or min by `a`: 1 if a is the result, 1/2 if both arguments are."""
    return jnp.where(a == out, jnp.where(b == out, 0.5, 1.0), 0.0).astype(out.dtype)


def _cases(which, *cases_and_out, **_):
    """Derivatives of select_n, None for its selector."""
    *cases, out = cases_and_out
    return None, *((which == i).astype(out.dtype) for i in range(len(cases)))


ELEMENTWISE: dict[str, Callable] = {
    "add": lambda a, b, out, **_: (jnp.ones_like(out), jnp.ones_like(out)),
    "add_any": lambda a, b, out, **_: (jnp.ones_like(out), jnp.ones_like(out)),
    "sub": lambda a, b, out, **_: (jnp.ones_like(out), -jnp.ones_like(out)),
    "mul": lambda a, b, out, **_: (b, a),
    "div": lambda a, b, out, **_: (1 / b, -out / b),
    "neg": lambda a, out, **_: (-jnp.ones_like(out),),
    "abs": lambda a, out, **_: (jnp.sign(a),),
    "max": lambda a, b, out, **_: (_chosen(a, b, out), _chosen(b, a, out)),
    "min": lambda a, b, out, **_: (_chosen(a, b, out), _chosen(b, a, out)),
    "select_n": _cases,
    "square": lambda a, out, **_: (2 * a,),
    "integer_pow": lambda a, out, *, y, **_: (y * a ** (y - 1),),
    "pow": lambda a, b, out, **_: (
        b * a ** (b - 1),
        jnp.where(a > 0, out * jnp.log(jnp.where(a > 0, a, 1)), 0),
    ),
    "sqrt": lambda a, out, **_: (0.5 / out,),
    "rsqrt": lambda a, out, **_: (-0.5 * out / a,),
    "exp": lambda a, out, **_: (out,),
    "exp2": lambda a, out, **_: (math.log(2) * out,),
    "expm1": lambda a, out, **_: (out + 1,),
    "log": lambda a, out, **_: (1 / a,),
    "log1p": lambda a, out, **_: (1 / (1 + a),),
    "tanh": lambda a, out, **_: (1 - out * out,),
    "logistic": lambda a, out, **_: (out * (1 - out),),
    "erf": lambda a, out, **_: (2 / math.sqrt(math.pi) * jnp.exp(-a * a),),
    "sin": lambda a, out, **_: (jnp.cos(a),),
    "cos": lambda a, out, **_: (-jnp.sin(a),),
    "convert_element_type": lambda a, out, **_: (
        jnp.ones_like(out) if jnp.issubdtype(a.dtype, jnp.floating) else None,
    ),
    "copy": lambda a, out, **_: (jnp.ones_like(out),),
}


class Linear(NamedTuple):
    """Rule of a primitive that is linear in its first arguments."""

    transpose: Callable
    """transpose(cotangents, *arguments, **parameters) -> cotangents of all arguments"""
    arguments: int | None = 1
    """number of linear arguments; None for all"""


def _broadcast(c, x, shape, broadcast_dimensions, **_):
    """Sums over the axes that were added or widened."""
    added = [a for a in range(len(shape)) if a not in broadcast_dimensions]
    widened = [a for i, a in enumerate(broadcast_dimensions) if x.shape[i] == 1 != shape[a]]
    return [jnp.sum(c[0], tuple(added + widened)).reshape(x.shape)]


def _slice(c, x, start_indices, limit_indices, strides, **_):
    """The cotangent at the entries of the slice, zeros elsewhere."""
    strides = strides or (1,) * x.ndim
    ends = [
        start + (n - 1) * step + 1 for start, n, step in zip(start_indices, c[0].shape, strides)
    ]
    config = [
        (start, size - end, step - 1)
        for start, size, end, step in zip(start_indices, x.shape, ends, strides)
    ]
    return [lax.pad(c[0], jnp.zeros((), c[0].dtype), config)]


def _pad(c, x, value, padding_config, **_):
    """The cotangent at the entries of x, and its sum over the padding for the padding value."""
    unpad = [(-low, -high, 0) for low, high, _ in padding_config]
    inner = lax.pad(c[0], jnp.zeros((), c[0].dtype), unpad)[
        tuple(slice(None, None, step + 1) for _, _, step in padding_config)
    ]
    return [inner, jnp.sum(c[0]) - jnp.sum(inner)]


def _concatenate(c, *xs, dimension, **_):
    return jnp.split(c[0], np.cumsum([x.shape[dimension] for x in xs])[:-1], dimension)


def _gather(c, x, indices, dimension_numbers, mode, **_):
    """Adds the cotangent at the indices that were read."""
    d = dimension_numbers
    scatter = lax.ScatterDimensionNumbers(
        d.offset_dims,
        d.collapsed_slice_dims,
        d.start_index_map,
        d.operand_batching_dims,
        d.start_indices_batching_dims,
    )
    return [lax.scatter_add(jnp.zeros_like(x), indices, c[0], scatter, mode=mode), None]


def _dynamic_update(c, x, update, *starts, **_):
    return [
        lax.dynamic_update_slice(c[0], jnp.zeros_like(update), starts),
        lax.dynamic_slice(c[0], starts, update.shape),
        *[None for _ in starts],
    ]


LINEAR: dict[str, Linear] = {
    "reduce_sum": Linear(
        lambda c, x, axes, **_: [jnp.broadcast_to(jnp.expand_dims(c[0], axes), x.shape)]
    ),
    "cumsum": Linear(lambda c, x, axis, reverse, **_: [lax.cumsum(c[0], axis, not reverse)]),
    "broadcast_in_dim": Linear(_broadcast),
    "reshape": Linear(lambda c, x, **_: [c[0].reshape(x.shape)]),
    "squeeze": Linear(lambda c, x, **_: [c[0].reshape(x.shape)]),
    "transpose": Linear(
        lambda c, x, permutation, **_: [jnp.transpose(c[0], np.argsort(permutation))]
    ),
    "rev": Linear(lambda c, x, dimensions, **_: [lax.rev(c[0], dimensions)]),
    "slice": Linear(_slice),
    "pad": Linear(_pad, 2),
    "concatenate": Linear(_concatenate, None),
    "stack": Linear(
        lambda c, *xs, axis, **_: [jnp.take(c[0], i, axis) for i in range(len(xs))], None
    ),
    "unstack": Linear(lambda c, x, axis, **_: [jnp.stack(c, axis)]),
    "split": Linear(lambda c, x, sizes, axis, **_: [jnp.concatenate(c, axis)]),
    "gather": Linear(_gather),
    "dynamic_slice": Linear(
        lambda c, x, *starts, slice_sizes, **_: [
            lax.dynamic_update_slice(jnp.zeros_like(x), c[0], starts),
            *[None for _ in starts],
        ]
    ),
    "dynamic_update_slice": Linear(_dynamic_update, 2),
}


def reduced_weight(x, out, axes):
    """Derivative of reduce_max or reduce_min by each entry of x; equal extremes share it."""
    extreme = (x == jnp.expand_dims(out, axes)).astype(out.dtype)
    return extreme / jnp.sum(extreme, axes, keepdims=True)


def _dot(which, c, x, y, dimension_numbers, **_):
    """The transposes of a tensor product are Einstein sums over the same letters."""
    (x_contracted, y_contracted), (x_batch, y_batch) = dimension_numbers
    letters = iter(string.ascii_letters)
    x_axes, y_axes = [next(letters) for _ in x.shape], [next(letters) for _ in y.shape]
    for i, j in [
        *zip(x_contracted, y_contracted, strict=True),
        *zip(x_batch, y_batch, strict=True),
    ]:
        y_axes[j] = x_axes[i]
    free = lambda axes, used: [letter for i, letter in enumerate(axes) if i not in used]
    c_axes = (
        [x_axes[i] for i in x_batch]
        + free(x_axes, (*x_contracted, *x_batch))
        + free(y_axes, (*y_contracted, *y_batch))
    )
    factor, factor_axes, result_axes = (x, x_axes, y_axes) if which else (y, y_axes, x_axes)
    equation = f"{''.join(c_axes)},{''.join(factor_axes)}->{''.join(result_axes)}"
    return jnp.einsum(equation, c, factor)


def _convolution(
    which,
    c,
    x,
    w,
    window_strides,
    padding,
    lhs_dilation,
    rhs_dilation,
    dimension_numbers,
    feature_group_count,
    batch_group_count,
    **_,
):
    """Transposes of a convolution; `panorax.ops.convolution` derives them.

    By x: the cotangent, dilated by the strides, convolved with the kernel rotated by 180 degrees.
    By w: x convolved with the cotangent as its kernel, channels and batch exchanged.
    """
    if feature_group_count * batch_group_count != 1 or set(lhs_dilation) != {1}:
        raise NotImplementedError(
            "no rule of differentiation for a convolution in groups or of a dilated image"
        )
    n, d = len(window_strides), dimension_numbers
    # axes (batch, features, *space) and (out, in, *space) of channels-last arrays
    images, kernels = (0, n + 1, *range(1, n + 1)), (n + 1, n, *range(n))
    x = jnp.moveaxis(x, d.lhs_spec, images)
    c = jnp.moveaxis(c, d.out_spec, images)
    w = jnp.moveaxis(w, d.rhs_spec, kernels)
    convolve = functools.partial(
        lax.conv_general_dilated,
        dimension_numbers=lax.ConvDimensionNumbers(images, kernels, images),
    )
    covered = [(k - 1) * r + 1 for k, r in zip(w.shape, rhs_dilation)]
    sides = [
        (k, low, size, s * (m - 1))
        for k, (low, _), size, s, m in zip(
            covered, padding, x.shape[1:], window_strides, c.shape[1:]
        )
    ]
    if which == 0:
        around = [(k - 1 - low, size - 1 - last + low) for k, low, size, last in sides]
        rotated = jnp.flip(w, tuple(range(n))).swapaxes(n, n + 1)
        by_x = convolve(
            c, rotated, (1,) * n, around, lhs_dilation=window_strides, rhs_dilation=rhs_dilation
        )
        return jnp.moveaxis(by_x, images, d.lhs_spec)
    around = [(low, k + last - size - low) for k, low, size, last in sides]
    by_w = convolve(
        jnp.swapaxes(x, 0, n + 1),
        jnp.moveaxis(c, 0, n),
        rhs_dilation,
        around,
        rhs_dilation=window_strides,
    )
    return jnp.moveaxis(jnp.moveaxis(by_w, 0, n), kernels, d.rhs_spec)


BILINEAR: dict[str, Callable] = {"dot_general": _dot, "conv_general_dilated": _convolution}
