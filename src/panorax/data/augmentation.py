"""Random augmentation of training images, which preserves their class.

The functions are pure and take a key, for use inside a training step.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def shifted(
    key: jax.Array, x_BYXC: Float[Array, "B Y X C"], pixels: int, border: str = "black"
) -> Float[Array, "B Y X C"]:
    """Shifts each image by a random integer in -pixels .. pixels along each axis.

    border: "black", which fills the border with -1, or a mode of `jnp.pad` such as "reflect".
    """
    pads, black = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)), {"constant_values": -1.0}
    padded = jnp.pad(x_BYXC, pads, **(black if border == "black" else {"mode": border}))
    corner_B2 = jax.random.randint(key, (len(x_BYXC), 2), 0, 2 * pixels + 1)
    crop = lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), x_BYXC.shape[1:])
    return jax.vmap(crop)(padded, corner_B2)


def mirrored(key: jax.Array, x_BYXC: Float[Array, "B Y X C"]) -> Float[Array, "B Y X C"]:
    """Mirrors each image left to right with probability 1/2."""
    mirror_B = jax.random.bernoulli(key, 0.5, (len(x_BYXC), 1, 1, 1))
    return jnp.where(mirror_B, x_BYXC[:, :, ::-1], x_BYXC)
