"""Autoencoders with a narrow middle: min E |x - g(f(x))|^2, with a code f(x) of b numbers.

The error stays large while b is below the dimension of the manifold. Errors are squared errors on
held-out points, as a share of their variance. The baseline is the projection on b principal
components, the best linear autoencoder (Baldi & Hornik 1989).
Source: Tenenbaum, de Silva & Langford 2000 (swiss roll); Bengio, Courville & Vincent 2013,
arXiv:1206.5538, section 8.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from panorax.core import figures, spec
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.core.study import family
from panorax.data import datasets
from panorax.maths.clouds.dimension import swiss_roll
from panorax.nets import mlp


def reconstruct(
    params, x: Float[Array, "*batch D"], mask_Z: Float[Array, " Z"]
) -> Float[Array, "*batch D"]:
    """g(f(x)) with the code multiplied by `mask_Z`; a 0 removes a coordinate of the code."""
    code = mlp.perceptron(params["encoder"], x, jax.nn.silu)
    masked = code * mask_Z.reshape((1,) * (code.ndim - 1) + (-1,))
    return mlp.perceptron(params["decoder"], masked, jax.nn.silu)


def relative_error(x_ND: Float[Array, "N D"], y_ND: Float[Array, "N D"]) -> Float[Array, ""]:
    """sum |x - y|^2 / sum |x - mean(x)|^2."""
    centred = x_ND - jnp.mean(x_ND, 0, keepdims=True)
    return jnp.sum(jnp.square(x_ND - y_ND)) / jnp.sum(jnp.square(centred))


@functools.partial(jax.jit, static_argnames=("widths", "hidden", "steps", "batch"))
def bottleneck_errors(
    key, x_ND, held_MD, widths: tuple[int, ...], hidden: tuple[int, ...], steps: int, batch: int
) -> Float[Array, " W"]:
    """Relative error on held-out points of one autoencoder for each width, all from one key.

    hidden: widths of the encoder's hidden layers; the decoder has them in reverse order.
    """
    key_init, key_steps = jax.random.split(key)
    inputs, widest = x_ND.shape[1], max(widths)
    specs = {
        "encoder": mlp.spec((inputs, *hidden, widest)),
        "decoder": mlp.spec((widest, *hidden[::-1], inputs)),
    }
    tx = optax.adam(optax.cosine_decay_schedule(2e-3, steps))

    def error(width):
        mask_Z = (jnp.arange(widest) < width).astype(x_ND.dtype)

        def loss(params, key):
            x = x_ND[jax.random.randint(key, (batch,), 0, len(x_ND))]
            return jnp.mean(jnp.square(reconstruct(params, x, mask_Z) - x))

        start = spec.init(specs, key_init)
        params, _ = descend(loss, tx, start, jax.random.split(key_steps, steps))
        return relative_error(held_MD, reconstruct(params, held_MD, mask_Z))

    return jax.lax.map(error, jnp.array(widths))


def errors_by_seed(key, seeds: int, x_ND, held_MD, **network) -> np.ndarray:
    """`bottleneck_errors` for `seeds` keys, (seeds, widths). `network` is passed on."""
    of_seed = lambda key: bottleneck_errors(key, x_ND, held_MD, **network)
    return np.asarray(jax.vmap(of_seed)(jax.random.split(key, seeds)))


def linear_error(x_ND: np.ndarray, held_MD: np.ndarray, width: int) -> float:
    """Relative error on held-out points of the projection on `width` principal components."""
    mean = x_ND.mean(0, keepdims=True)
    axes = np.linalg.svd(x_ND - mean, full_matrices=False)[2][:width]
    return float(relative_error(held_MD, mean + (held_MD - mean) @ axes.T @ axes))


def draw_errors(widths: tuple[int, ...], errors_SW: np.ndarray, title: str):
    """A figure of the errors over the width: a point for each seed, a line for the median."""
    figure, (ax,) = figures.panels()
    for errors_W in errors_SW:
        ax.plot(widths, errors_W, ".", color=figures.COLORS[0], alpha=0.5)
    ax.plot(widths, np.median(errors_SW, axis=0), label="autoencoder: median, seeds")
    ax.set(title=title, xlabel="width of the code", xscale="log", yscale="log")
    ax.set(ylabel="held-out error (share of variance)")
    ax.set_xticks(widths, map(str, widths))
    ax.xaxis.minorticks_off()
    return figure


def autoencoder_roll(key, points: int, widths: tuple[int, ...], seeds: int, **network) -> Result:
    """Autoencoders of the swiss roll, whose dimension is 2."""
    key_data, key_held, key_train = jax.random.split(key, 3)
    (x, _), (held, _) = swiss_roll(key_data, points), swiss_roll(key_held, 1000)
    mean = jnp.mean(x, 0, keepdims=True)
    errors_SW = errors_by_seed(key_train, seeds, x - mean, held - mean, widths=widths, **network)
    medians = dict(zip(widths, np.median(errors_SW, axis=0), strict=True))
    figure = draw_errors(widths, errors_SW, "autoencoders of the swiss roll")
    return Result(
        family("autoencoder_roll_{}", medians), {"autoencoder_roll.png": figures.legends(figure)}
    )


def autoencoder_digits(key, widths: tuple[int, ...], seeds: int, **network) -> Result:
    """Autoencoders of the digits, beside principal components."""
    x, _, held, _ = map(jnp.asarray, datasets.digit_vectors())
    errors_SW = errors_by_seed(key, seeds, x, held, widths=widths, **network)
    medians = dict(zip(widths, np.median(errors_SW, axis=0), strict=True))
    linear = {width: linear_error(np.asarray(x), np.asarray(held), width) for width in widths}
    metrics = family("autoencoder_digits_{}", medians) | family("linear_digits_{}", linear)
    figure = draw_errors(widths, errors_SW, "autoencoders of the digits")
    figure.axes[0].plot([*linear], [*linear.values()], "--", label="principal components")
    return Result(metrics, {"autoencoder_digits.png": figures.legends(figure)})
