"""Convolution of images (as a cross-correlation), the one that every network here goes through."""

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
    """y[b, y, x] = sum_{u, v} x[b, stride y + u - top, stride x + v - left] w[u, v], zero outside of the image.

    `padding` is ((top, bottom), (left, right)), or "SAME" for ceil(Y / stride) x ceil(X / stride)
    positions. A kernel of one pixel without padding is a product of matrices at every `stride`-th
    position. Reverse mode only on a CPU: both gradients are written as the form of convolution that
    XLA runs fast inside a scan.
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
    """`conv2d` of the image in which every pixel of x is repeated 2 x 2 times. Of the pixels that a kernel covers there, two rows and two columns
    are one in x: each of the four outputs of a pixel is a convolution of x with a kernel of 2 x 2, whose entries are sums of those of w."""

    def halves(w, axis):
        first, middle, last = jnp.split(w, 3, axis)
        return jnp.concatenate([first, middle + last], axis), jnp.concatenate(
            [first + middle, last], axis
        )

    pads = ((1, 0), (0, 1))
    rows = [
        [conv2d(x_BYXI, w, padding=(up, side)) for w, side in zip(halves(w, 1), pads, strict=True)]
        for w, up in zip(halves(w_UVIO, 0), pads, strict=True)
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
    """dx is the convolution of dy, `stride` apart, with the kernel turned by half; dw[u, v] = sum_{b, y, x} x[b, stride y + u - top, ...] dy[b, y, x]
    is that of x with the kernel dy, where the channels of x take the place of the batch and the batch that of the channels."""
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
