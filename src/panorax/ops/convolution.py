"""Convolution of images (as a cross-correlation), the one that every network here goes through."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.ops.dot import dot

Padding = str | tuple[tuple[int, int], tuple[int, int]]


def conv2d(x_BYXI: Float[Array, "B Y X I"], w_UVIO: Float[Array, "U V I O"], stride: int = 1, padding: Padding = "SAME") -> Float[Array, "B Y2 X2 O"]:
    """y[b, y, x] = sum_{u, v} x[b, stride y + u - top, stride x + v - left] w[u, v], zero outside of the image.

    `padding` is ((top, bottom), (left, right)), or "SAME" for ceil(Y / stride) x ceil(X / stride) positions. A kernel of one pixel is a product of
    matrices. Reverse mode only on a CPU, where the gradient of the kernel is products of matrices too: inside a scan XLA takes 50 times as long.
    """
    if stride == 1 and padding == "SAME" and w_UVIO.shape[:2] == (1, 1):
        return dot(x_BYXI, w_UVIO[0, 0])
    if isinstance(padding, str):
        padding = tuple(jax.lax.padtype_to_pads(x_BYXI.shape[1:3], w_UVIO.shape[:2], (stride, stride), padding))
    return (_conv_on_cpu if jax.default_backend() == "cpu" else _conv)(x_BYXI, w_UVIO, stride, padding)


def _conv(x_BYXI, w_UVIO, stride, padding):
    return jax.lax.conv_general_dilated(x_BYXI, w_UVIO, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


_conv_on_cpu = jax.custom_vjp(_conv, nondiff_argnums=(2, 3))


def _forward(x_BYXI, w_UVIO, stride, padding):
    return _conv(x_BYXI, w_UVIO, stride, padding), (x_BYXI, w_UVIO)


def _backward(stride, padding, inputs, dy_BYXO):
    """dw[u, v] = sum_{b, y, x} x[b, stride y + u - top, stride x + v - left] dy[b, y, x], a product of matrices for each u, v."""
    x_BYXI, w_UVIO = inputs
    (U, V, I, O), (_, Y, X, _) = w_UVIO.shape, dy_BYXO.shape
    padded = jnp.pad(x_BYXI, ((0, 0), *padding, (0, 0)))
    seen_through = lambda u, v: padded[:, u : u + stride * (Y - 1) + 1 : stride, v : v + stride * (X - 1) + 1 : stride].reshape(-1, I)
    dw = [seen_through(u, v).T @ dy_BYXO.reshape(-1, O) for u in range(U) for v in range(V)]
    (dx_BYXI,) = jax.vjp(functools.partial(_conv, w_UVIO=w_UVIO, stride=stride, padding=padding), x_BYXI)[1](dy_BYXO)
    return dx_BYXI, jnp.stack(dw).reshape(w_UVIO.shape)


_conv_on_cpu.defvjp(_forward, _backward)
