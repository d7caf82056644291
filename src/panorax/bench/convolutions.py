"""Convolutions on the CPU, forward and backward, inside a compiled loop of training steps.

The images have the size of the U-Net's; kernels have 3 x 3 pixels.
"""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from panorax.engine.loop import Clock
from panorax.ops.convolution import conv2d
from panorax.ops.dot import dot

TIMES = 4  # gradient steps per call of the program
HERE, TORCH = "panorax.bench.convolutions:", "panorax.bench.torch_convolutions:"
CONVOLUTION = {
    "panorax": HERE + "panorax",
    "xla, channels last": HERE + "channels_last",
    "xla, channels first": HERE + "channels_first",
    "columns (im2col)": HERE + "columns",
    "torch": TORCH + "convolution",
}
DEPTHWISE = {
    "xla": HERE + "depthwise_xla",
    "shifted products": HERE + "depthwise_shifted",
    "torch": TORCH + "depthwise",
}


def prepare(images: int, side: int, channels: int, folder: Path) -> None:
    """Writes random images, a full kernel and a depthwise kernel."""
    normal = np.random.default_rng(0).standard_normal
    arrays = {
        "x": normal((images, side, side, channels)),
        "full": normal((3, 3, channels, channels)) / (3 * channels**0.5),
        "depthwise": normal((3, 3, 1, channels)) / 3,
    }
    np.savez(folder / "images.npz", **{name: a.astype(np.float32) for name, a in arrays.items()})


def _xla(x, w, groups=1):
    return jax.lax.conv_general_dilated(
        x,
        w,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _xla_channels_first(x, w):
    y = jax.lax.conv_general_dilated(
        jnp.moveaxis(x, 3, 1), w, (1, 1), "SAME", dimension_numbers=("NCHW", "HWIO", "NCHW")
    )
    return jnp.moveaxis(y, 1, 3)


def _shifted(x):
    """The padded image shifted by each of the nine kernel offsets."""
    _, Y, X, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [padded[:, u : u + Y, v : v + X] for u in range(3) for v in range(3)]


def _columns(x, w):
    return dot(jnp.concatenate(_shifted(x), -1), w.reshape(-1, w.shape[3]))


def _shifted_products(x, w):
    offsets = zip(_shifted(x), w.reshape(9, 1, 1, 1, -1), strict=True)
    return sum(image * weight for image, weight in offsets)


def _timed(convolve, kernel, setting, folder):
    with np.load(folder / "images.npz") as file:
        x, w = jnp.asarray(file["x"]), jnp.asarray(file[kernel])
    gradient = jax.grad(lambda x, w: 0.5 * jnp.sum(jnp.square(convolve(x, w))), (0, 1))

    def descend(arrays, _):
        return jax.tree.map(lambda a, g: a - 1e-3 * g, arrays, gradient(*arrays)), None

    clock = Clock()
    program = clock.compile(lambda x, w: jax.lax.scan(descend, (x, w), length=TIMES)[0], x, w)
    facts = {
        "norms": [float(jnp.linalg.norm(a)) for a in program(x, w)],
        "compile_seconds": clock.compiling,
        "version": jax.__version__,
    }

    def work():
        jax.block_until_ready(program(x, w))
        return TIMES * len(x)

    return facts, work


panorax = functools.partial(_timed, conv2d, "full")
channels_last = functools.partial(_timed, _xla, "full")
channels_first = functools.partial(_timed, _xla_channels_first, "full")
columns = functools.partial(_timed, _columns, "full")
depthwise_xla = functools.partial(_timed, lambda x, w: _xla(x, w, x.shape[3]), "depthwise")
depthwise_shifted = functools.partial(_timed, _shifted_products, "depthwise")
