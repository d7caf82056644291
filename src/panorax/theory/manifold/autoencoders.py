"""Networks that learn where data lie: through a narrow layer, or back from noise.

autoencoder   min E |x - g(f(x))|^2 with f(x) of b numbers: the error stays large while b is below the dimension of the manifold, and f finds coordinates
denoiser      min E |x - r(x + s e)|^2 has r(y) = E[x | y], and the field r(y) - y = s^2 grad log p_s(y) points to where the data are (Miyasawa 1961;
              Vincent 2011; Alain & Bengio 2014, arXiv:1211.4246)
"""

import functools

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import i0e, i1e
from jaxtyping import Array, Float

from panorax.core import spec
from panorax.core.step import descend
from panorax.nets import mlp


def rebuilt(
    params, x: Float[Array, "*batch D"], open_Z: Float[Array, " Z"]
) -> Float[Array, "*batch D"]:
    """g(f(x)) where those of the Z numbers pass that `open_Z` says, the others being 0."""
    code = mlp.perceptron(params["encoder"], x, jax.nn.silu)
    return mlp.perceptron(
        params["decoder"], code * open_Z.reshape((1,) * (code.ndim - 1) + (-1,)), jax.nn.silu
    )


@functools.partial(jax.jit, static_argnames=("widths", "hidden", "steps", "batch"))
def bottleneck_errors(
    key, x_ND, held_MD, widths: tuple[int, ...], hidden: tuple[int, ...], steps: int, batch: int
) -> Float[Array, " W"]:
    """Of an autoencoder for each width, trained from the same key: its squared error on held-out points, as a share of their variance."""
    key_init, key_steps = jax.random.split(key)
    inputs, widest = x_ND.shape[1], max(widths)
    specs = {
        "encoder": mlp.spec((inputs, *hidden, widest)),
        "decoder": mlp.spec((widest, *hidden[::-1], inputs)),
    }
    tx = optax.adam(optax.cosine_decay_schedule(2e-3, steps))

    def error(width):
        open_Z = (jnp.arange(widest) < width).astype(x_ND.dtype)

        def loss(params, key):
            x = x_ND[jax.random.randint(key, (batch,), 0, len(x_ND))]
            return jnp.mean(jnp.square(rebuilt(params, x, open_Z) - x))

        params, _ = descend(
            loss, tx, spec.init(specs, key_init), jax.random.split(key_steps, steps)
        )
        left = held_MD - rebuilt(params, held_MD, open_Z)
        return jnp.sum(jnp.square(left)) / jnp.sum(
            jnp.square(held_MD - jnp.mean(held_MD, 0, keepdims=True))
        )

    return jax.lax.map(error, jnp.array(widths))


def field(params, y: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
    """r(y) - y of a denoiser that `learn_field` made: what its network says."""
    return mlp.perceptron(params, y, jax.nn.silu)


@functools.partial(jax.jit, static_argnames=("hidden", "steps", "batch"))
def learn_field(key, x_ND, noise: float, hidden: tuple[int, ...], steps: int, batch: int):
    """Parameters of a denoiser of the cloud for that standard deviation of the noise, and its losses on the way."""
    key_init, key_steps = jax.random.split(key)

    def loss(params, key):
        key_point, key_noise = jax.random.split(key)
        x = x_ND[jax.random.randint(key_point, (batch,), 0, len(x_ND))]
        y = x + noise * jax.random.normal(key_noise, x.shape)
        return jnp.mean(jnp.sum(jnp.square(y + field(params, y) - x), 1))

    tx = optax.adam(optax.cosine_decay_schedule(2e-3, steps))
    params = spec.init(mlp.spec((x_ND.shape[1], *hidden, x_ND.shape[1])), key_init)
    return descend(loss, tx, params, jax.random.split(key_steps, steps))


def circle_field(y_N2: Float[Array, "N 2"], noise: float) -> Float[Array, "N 2"]:
    """r(y) - y exactly, for points spread evenly over the unit circle: r(y) = y / |y| I_1(|y| / s^2) / I_0(|y| / s^2)."""
    radius = jnp.linalg.norm(y_N2, axis=1, keepdims=True)
    pull = i1e(radius / noise**2) / i0e(radius / noise**2)
    return y_N2 * (pull / radius - 1)
