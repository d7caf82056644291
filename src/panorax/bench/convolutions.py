"""Ways to convolve on the CPU, each as it does inside of a compiled loop of training steps: images of the U-Net, 3 x 3 pixels, forward and backward."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from panorax.engine.loop import Clock
from panorax.ops.convolution import conv2d
from panorax.ops.dot import dot

TIMES = 4
HERE, THERE = "panorax.bench.convolutions:", "panorax.bench.torch_convolutions:"
CONVOLUTION = {
    "panorax": HERE + "panorax",
    "xla, channels last": HERE + "channels_last",
    "xla, channels first": HERE + "channels_first",
}
CONVOLUTION |= {"columns (im2col)": HERE + "columns", "torch": THERE + "convolution"}
DEPTHWISE = {
    "xla": HERE + "depthwise_xla",
    "shifted products": HERE + "depthwise_shifted",
    "torch": THERE + "depthwise",
}


def prepare(images: int, side: int, channels: int, folder: Path) -> None:
    """Images, a kernel of all channels and one of each channel alone."""
    draw = np.random.default_rng(0).standard_normal
    x, w, alone = (
        draw((images, side, side, channels)),
        draw((3, 3, channels, channels)) / (3 * channels**0.5),
        draw((3, 3, 1, channels)) / 3,
    )
    np.savez(
        folder / "images.npz",
        **{name: a.astype(np.float32) for name, a in {"x": x, "w": w, "alone": alone}.items()},
    )


def _xla(x, w, first=False, groups=1):
    x, numbers = (
        (jnp.moveaxis(x, 3, 1), ("NCHW", "HWIO", "NCHW"))
        if first
        else (x, ("NHWC", "HWIO", "NHWC"))
    )
    y = jax.lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=groups
    )
    return jnp.moveaxis(y, 1, 3) if first else y


def _shifted(x):
    """The image as each of the nine pixels of the kernel sees it."""
    _, Y, X, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [padded[:, u : u + Y, v : v + X] for u in range(3) for v in range(3)]


def _timed(convolve, kernel, setting, folder):
    with np.load(folder / "images.npz") as file:
        x, w = jnp.asarray(file["x"]), jnp.asarray(file[kernel])
    gradient = jax.grad(lambda x, w: 0.5 * jnp.sum(jnp.square(convolve(x, w))), (0, 1))

    def again(at, _):
        return jax.tree.map(lambda a, g: a - 1e-3 * g, at, gradient(*at)), None

    clock = Clock()
    program = clock.compile(lambda x, w: jax.lax.scan(again, (x, w), length=TIMES)[0], x, w)
    facts = {
        "norms": [float(jnp.linalg.norm(a)) for a in program(x, w)],
        "compile_seconds": clock.compiling,
        "version": jax.__version__,
    }

    def work():
        jax.block_until_ready(program(x, w))
        return TIMES * len(x)

    return facts, work


panorax = functools.partial(_timed, conv2d, "w")
channels_last = functools.partial(_timed, _xla, "w")
channels_first = functools.partial(_timed, functools.partial(_xla, first=True), "w")
columns = functools.partial(
    _timed, lambda x, w: dot(jnp.concatenate(_shifted(x), -1), w.reshape(-1, w.shape[3])), "w"
)
depthwise_xla = functools.partial(_timed, lambda x, w: _xla(x, w, groups=x.shape[3]), "alone")
depthwise_shifted = functools.partial(
    _timed,
    lambda x, w: sum(s * k for s, k in zip(_shifted(x), w.reshape(9, 1, 1, 1, -1), strict=True)),
    "alone",
)
