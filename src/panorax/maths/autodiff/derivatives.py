"""The derivatives of single equations: what `panorax.maths.autodiff.chain_rule` knows of calculus.

ELEMENTWISE: name -> (arguments, result) -> the derivative by each argument, None where there is none.
LINEAR: name -> which arguments the results are linear in, and the transpose: (cotangents, arguments) -> cotangents of all arguments.
BILINEAR: name -> (which, cotangent, both arguments) -> the cotangent of that one of the two. CONSTANT: names whose results no input moves.
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
    "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "xor", "sign", "floor", "ceil", "round", "rem", "is_finite", "iota", "argmax", "argmin",
    "stop_gradient", "random_bits", "random_wrap", "random_unwrap", "random_fold_in", "random_split", "shift_left", "shift_right_logical",
    "bitcast_convert_type", "create_token", "reduce_and", "reduce_or",
}  # fmt: skip


def _chosen(a, b, out):
    """Of max and min: 1 where `a` is the result, a half where both are."""
    return jnp.where(a == out, jnp.where(b == out, 0.5, 1.0), 0.0).astype(out.dtype)


def _cases(which, *cases_and_out, **_):
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
    """`transpose(cotangents, *arguments, **parameters)`; `arguments` is how many of the first are linear, all of them if None."""

    transpose: Callable
    arguments: int | None = 1


def _broadcast(c, x, shape, broadcast_dimensions, **_):
    """Sum over the axes that were added or widened."""
    added = [a for a in range(len(shape)) if a not in broadcast_dimensions]
    widened = [a for i, a in enumerate(broadcast_dimensions) if x.shape[i] == 1 != shape[a]]
    return [jnp.sum(c[0], tuple(added + widened)).reshape(x.shape)]


def _slice(c, x, start_indices, limit_indices, strides, **_):
    """Zeros, and the cotangent where the slice was read."""
    strides = strides or (1,) * x.ndim
    last = [
        start + (n - 1) * step + 1 for start, n, step in zip(start_indices, c[0].shape, strides)
    ]
    config = [
        (start, size - end, step - 1)
        for start, size, end, step in zip(start_indices, x.shape, last, strides)
    ]
    return [lax.pad(c[0], jnp.zeros((), c[0].dtype), config)]


def _pad(c, x, value, padding_config, **_):
    """What lies where x was put; the rest is the padding's."""
    unpad = [(-low, -high, 0) for low, high, _ in padding_config]
    inner = lax.pad(c[0], jnp.zeros((), c[0].dtype), unpad)[
        tuple(slice(None, None, step + 1) for _, _, step in padding_config)
    ]
    return [inner, jnp.sum(c[0]) - jnp.sum(inner)]


def _concatenate(c, *xs, dimension, **_):
    return jnp.split(c[0], np.cumsum([x.shape[dimension] for x in xs])[:-1], dimension)


def _gather(c, x, indices, dimension_numbers, mode, **_):
    """Added up at the places read from."""
    d = dimension_numbers
    where = lax.ScatterDimensionNumbers(
        d.offset_dims,
        d.collapsed_slice_dims,
        d.start_index_map,
        d.operand_batching_dims,
        d.start_indices_batching_dims,
    )
    return [lax.scatter_add(jnp.zeros_like(x), indices, c[0], where, mode=mode), None]


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
    """Of reduce_max and reduce_min: the derivative of the result by each entry, shared where several are the largest."""
    is_it = (x == jnp.expand_dims(out, axes)).astype(out.dtype)
    return is_it / jnp.sum(is_it, axes, keepdims=True)


def _dot(which, c, x, y, dimension_numbers, **_):
    """A product of tensors is an Einstein sum; so are its transposes, of the same letters."""
    (x_contracted, y_contracted), (x_batch, y_batch) = dimension_numbers
    letters = iter(string.ascii_letters)
    of_x, of_y = [next(letters) for _ in x.shape], [next(letters) for _ in y.shape]
    for i, j in [
        *zip(x_contracted, y_contracted, strict=True),
        *zip(x_batch, y_batch, strict=True),
    ]:
        of_y[j] = of_x[i]
    free = lambda of, used: [letter for i, letter in enumerate(of) if i not in used]
    of_c = (
        [of_x[i] for i in x_batch]
        + free(of_x, (*x_contracted, *x_batch))
        + free(of_y, (*y_contracted, *y_batch))
    )
    other, of_other, of_this = (x, of_x, of_y) if which else (y, of_y, of_x)
    return jnp.einsum(f"{''.join(of_c)},{''.join(of_other)}->{''.join(of_this)}", c, other)


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
    """By x: the cotangent, strides apart, with the kernel turned by half. By w: x with the cotangent as its kernel, channels and batch having changed
    places. See `panorax.ops.convolution`."""
    if feature_group_count * batch_group_count != 1 or set(lhs_dilation) != {1}:
        raise NotImplementedError(
            "no rule of differentiation for a convolution in groups or of a dilated image"
        )
    n, d = len(window_strides), dimension_numbers
    images, kernels = (
        (0, n + 1, *range(1, n + 1)),
        (n + 1, n, *range(n)),
    )  # where channels-last arrays have (batch, features, *space), (out, in, *space)
    x, c, w = (
        jnp.moveaxis(x, d.lhs_spec, images),
        jnp.moveaxis(c, d.out_spec, images),
        jnp.moveaxis(w, d.rhs_spec, kernels),
    )
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
        turned = jnp.flip(w, tuple(range(n))).swapaxes(n, n + 1)
        return jnp.moveaxis(
            convolve(
                c, turned, (1,) * n, around, lhs_dilation=window_strides, rhs_dilation=rhs_dilation
            ),
            images,
            d.lhs_spec,
        )
    around = [(low, k + last - size - low) for k, low, size, last in sides]
    found = convolve(
        jnp.swapaxes(x, 0, n + 1),
        jnp.moveaxis(c, 0, n),
        rhs_dilation,
        around,
        rhs_dilation=window_strides,
    )
    return jnp.moveaxis(jnp.moveaxis(found, 0, n), kernels, d.rhs_spec)


BILINEAR: dict[str, Callable] = {"dot_general": _dot, "conv_general_dilated": _convolution}
