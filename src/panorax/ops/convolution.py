"""Convolution of images (as a cross-correlation), the one that every network here goes through."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.ops.dot import dot

Padding = str | tuple[tuple[int, int], tuple[int, int]]


def conv2d(x_BYXI: Float[Array, "B Y X I"], w_UVIO: Float[Array, "U V I O"], stride: int = 1, padding: Padding = "SAME") -> Float[Array, "B Y2 X2 O"]:
    """y[b, y, x] = sum_{u, v} x[b, stride y + u - top, stride x + v - left] w[u, v], zero outside of the image.

    `padding` is ((top, bottom), (left, right)), or "SAME" for ceil(Y / stride) x ceil(X / stride) positions. A kernel of one pixel is a product of
    matrices. Reverse mode only on a CPU, where both gradients are written as the one form of convolution that XLA has a fast program for inside a scan.
    """
    if stride == 1 and padding == "SAME" and w_UVIO.shape[:2] == (1, 1):
        return dot(x_BYXI, w_UVIO[0, 0])
    if isinstance(padding, str):
        padding = tuple(jax.lax.padtype_to_pads(x_BYXI.shape[1:3], w_UVIO.shape[:2], (stride, stride), padding))
    return (_conv_on_cpu if jax.default_backend() == "cpu" else _conv)(x_BYXI, w_UVIO, stride, padding)


def _conv(x_BYXI, w_UVIO, stride, padding, **dilations):
    return jax.lax.conv_general_dilated(x_BYXI, w_UVIO, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), **dilations)


_conv_on_cpu = jax.custom_vjp(_conv, nondiff_argnums=(2, 3))


def _forward(x_BYXI, w_UVIO, stride, padding):
    return _conv(x_BYXI, w_UVIO, stride, padding), (x_BYXI, w_UVIO)


def _backward(stride, padding, inputs, dy_BYXO):
    """dx is the convolution of dy, `stride` apart, with the kernel turned by half; dw[u, v] = sum_{b, y, x} x[b, stride y + u - top, ...] dy[b, y, x]
    is that of x with the kernel dy, where the channels of x take the place of the batch and the batch that of the channels."""
    x_BYXI, w_UVIO = inputs
    sides = [(n, low, size, stride * (positions - 1)) for n, size, positions, (low, _) in zip(w_UVIO.shape, x_BYXI.shape[1:], dy_BYXO.shape[1:], padding)]
    around_dy = [(n - 1 - low, size - 1 - last + low) for n, low, size, last in sides]
    around_x = [(low, n + last - size - low) for n, low, size, last in sides]
    dx_BYXI = _conv(dy_BYXO, w_UVIO[::-1, ::-1].swapaxes(2, 3), 1, around_dy, lhs_dilation=(stride, stride))
    dw_IUVO = _conv(x_BYXI.transpose(3, 1, 2, 0), dy_BYXO.transpose(1, 2, 0, 3), 1, around_x, rhs_dilation=(stride, stride))
    return dx_BYXI, dw_IUVO.transpose(1, 2, 0, 3)


_conv_on_cpu.defvjp(_forward, _backward)
