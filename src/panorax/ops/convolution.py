"""Two-dimensional convolution (cross-correlation) with gradients that are fast on a CPU.

On a CPU, `conv2d` has a custom gradient: both products of its backward pass are convolutions in the
form that XLA runs fast inside a scan. There, only reverse-mode differentiation is defined.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.ops.dot import dot

Padding = str | tuple[tuple[int, int], tuple[int, int]]


def conv2d(
    x_BYXI: Float[Array, "B Y X I"],
    w_UVIO: Float[Array, "U V I O"],
    stride: int = 1,
    padding: Padding = "SAME",
) -> Float[Array, "B Y2 X2 O"]:
    """y[b, y, x] = sum_{u, v} x[b, stride y + u - top, stride x + v - left] w[u, v].

    padding: ((top, bottom), (left, right)) zeros around the image, or "SAME", which gives
    ceil(Y / stride) x ceil(X / stride) positions. A 1 x 1 kernel without padding is computed as a
    matrix product at every `stride`-th position.
    """
    if isinstance(padding, str):
        sides = x_BYXI.shape[1:3], w_UVIO.shape[:2]
        padding = tuple(jax.lax.padtype_to_pads(*sides, (stride, stride), padding))
    if w_UVIO.shape[:2] == (1, 1) and padding == ((0, 0), (0, 0)):
        return dot(x_BYXI[:, ::stride, ::stride], w_UVIO[0, 0])
    return (_conv_on_cpu if jax.default_backend() == "cpu" else _conv)(
        x_BYXI, w_UVIO, stride, padding
    )


def upsampled_conv2d(
    x_BYXI: Float[Array, "B Y X I"], w_UVIO: Float[Array, "3 3 I O"]
) -> Float[Array, "B 2*Y 2*X O"]:
    """`conv2d` of the image x upsampled 2 x 2 times by nearest neighbour, without upsampling it.

    A 3 x 3 kernel covers only 2 x 2 distinct pixels of x. Each of the four outputs of a pixel is a
    convolution of x with a 2 x 2 kernel of sums of entries of w.
    """

    def halves(w, axis):
        first, middle, last = jnp.split(w, 3, axis)
        upper = jnp.concatenate([first, middle + last], axis)
        lower = jnp.concatenate([first + middle, last], axis)
        return (upper, (1, 0)), (lower, (0, 1))

    rows = [
        [conv2d(x_BYXI, w, padding=(vertical, sides)) for w, sides in halves(w_rows, 1)]
        for w_rows, vertical in halves(w_UVIO, 0)
    ]
    y_BYuXvO = jnp.stack([jnp.stack(row, 3) for row in rows], 2)
    B, Y, _, X, _, O = y_BYuXvO.shape
    return y_BYuXvO.reshape(B, 2 * Y, 2 * X, O)


def _conv(x_BYXI, w_UVIO, stride, padding, **dilations):
    return jax.lax.conv_general_dilated(
        x_BYXI,
        w_UVIO,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        **dilations,
    )


_conv_on_cpu = jax.custom_vjp(_conv, nondiff_argnums=(2, 3))


def _forward(x_BYXI, w_UVIO, stride, padding):
    return _conv(x_BYXI, w_UVIO, stride, padding), (x_BYXI, w_UVIO)


def _backward(stride, padding, inputs, dy_BYXO):
    """dx: dy, dilated by `stride`, convolved with the kernel rotated by 180 degrees.

    dw[u, v] = sum_{b, y, x} x[b, stride y + u - top, ...] dy[b, y, x] is x convolved with the
    kernel dy, with the channels of x as the batch and the batch as the channels.
    """
    x_BYXI, w_UVIO = inputs
    sides = [
        (n, low, size, stride * (positions - 1))
        for n, size, positions, (low, _) in zip(
            w_UVIO.shape, x_BYXI.shape[1:], dy_BYXO.shape[1:], padding
        )
    ]
    around_dy = [(n - 1 - low, size - 1 - last + low) for n, low, size, last in sides]
    around_x = [(low, n + last - size - low) for n, low, size, last in sides]
    dx_BYXI = _conv(
        dy_BYXO, w_UVIO[::-1, ::-1].swapaxes(2, 3), 1, around_dy, lhs_dilation=(stride, stride)
    )
    dw_IUVO = _conv(
        x_BYXI.transpose(3, 1, 2, 0),
        dy_BYXO.transpose(1, 2, 0, 3),
        1,
        around_x,
        rhs_dilation=(stride, stride),
    )
    return dx_BYXI, dw_IUVO.transpose(1, 2, 0, 3)


_conv_on_cpu.defvjp(_forward, _backward)
