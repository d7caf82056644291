"""The manifold hypothesis: data in many dimensions lie near a surface of few; how many, who finds them, and what points there from outside.

Dimensions of clouds whose dimension is known and of the handwritten digits (`dimension`); autoencoders with a narrower and narrower middle, which fail
below that dimension; and the field of a denoiser, which points to the manifold from wherever noise has thrown a point (`autoencoders`).
Source: Tenenbaum, de Silva & Langford 2000; Bengio, Courville & Vincent 2013, arXiv:1206.5538, section 8; Pope et al. 2021, arXiv:2104.08894.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.data import datasets
from panorax.maths.clouds.dimension import (
    likelihood_dimensions,
    local_pca,
    sphere,
    swiss_roll,
    two_nn,
)
from panorax.maths.clouds.neighbors import nearest
from panorax.theory.manifold.autoencoders import bottleneck_errors, circle_field, field, learn_field

ROLL_NOISE, CIRCLE_NOISE, DIGITS_NOISE, DIGITS_DIMENSION = 0.02, 0.3, 0.5, 10


@checked
class Config:
    points: Count = 2000
    """of a swiss roll or a sphere"""
    spheres: tuple[Count, ...] = (1, 2, 5, 10)
    """their dimensions"""
    neighbors: tuple[Count, ...] = (5, 10, 20, 50, 100)
    """of a point, for the estimates that look at more than two; the second is that of the estimates that are named"""
    roll_widths: tuple[Count, ...] = (1, 2, 3)
    """of the middle of an autoencoder of the swiss roll"""
    digit_widths: tuple[Count, ...] = (1, 2, 4, 6, 8, 10, 12, 16, 24, 32, 48)
    """of the middle of an autoencoder of digits"""
    hidden: tuple[Count, ...] = (256, 128)
    """of every network"""
    steps: Count = 4000
    """of its training"""
    roll_steps: Count = 20_000
    """of the networks of the swiss roll, which has to be unrolled"""
    batch: Count = 128
    seeds: Count = 3
    """of every autoencoder, whose median error counts"""
    field_noise: Positive = 0.1
    """with which the denoiser of the swiss roll is trained"""
    seed: Whole = 0

    def __post_init__(self):
        if len(self.neighbors) < 2 or min(self.neighbors) < 3 or self.points <= max(self.neighbors):
            raise UserError(
                "neighbors needs two numbers at least, each 3 or more and below the number of points"
            )
        if self.roll_widths[:2] != (1, 2) or len(self.digit_widths) < 2:
            raise UserError(
                "roll-widths must begin with 1 and 2, digit-widths have two numbers at least"
            )


def dimensions(clouds: dict[str, np.ndarray], neighbors: tuple[int, ...]) -> dict[str, float]:
    """Every estimate of every cloud: from two neighbours, by likelihood from each number of `neighbors`, by principal directions from the second of them."""
    found = {}
    for name, x in clouds.items():
        by_likelihood = likelihood_dimensions(x, max(neighbors))
        found |= {f"mle_{name}_k{k}": float(by_likelihood[k - 3]) for k in neighbors}
        found |= {
            f"two_nn_{name}": two_nn(x),
            f"pca_{name}": local_pca(x, neighbors[1]),
            f"mle_{name}": found[f"mle_{name}_k{neighbors[1]}"],
        }
    return found


def linear_error(x: np.ndarray, held: np.ndarray, width: int) -> float:
    """The error of the best linear map through `width` numbers, on held-out points, as a share of their variance."""
    axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:width]
    left = (held - x.mean(0)) - (held - x.mean(0)) @ axes.T @ axes
    return float(np.square(left).sum() / np.square(held - held.mean(0)).sum())


@functools.partial(jax.jit, static_argnames="cfg")
def on_circle(key, cfg: Config) -> dict[str, Float[Array, ""]]:
    """The learned field at points from 0.3 inside to 0.3 outside of the unit circle, beside the exact one."""
    key_data, key_train, key_at = jax.random.split(key, 3)
    params, _ = learn_field(
        key_train, sphere(key_data, cfg.points, 1), CIRCLE_NOISE, cfg.hidden, cfg.steps, cfg.batch
    )
    normal = sphere(key_at, 1000, 1)
    away = jnp.linspace(-0.3, 0.3, 1000)
    y = normal * (1 + away)[:, None]
    learned, exact = field(params, y), circle_field(y, CIRCLE_NOISE)
    far = (
        jnp.abs(away + CIRCLE_NOISE**2 / 2) > 0.1
    )  # the field is 0 a little inside of the circle, where noise throws most points
    inward = jnp.sum(learned * normal, 1) * jnp.sign(away + CIRCLE_NOISE**2 / 2) < 0
    return {
        "circle_points_back": jnp.sum(jnp.where(far & inward, 1.0, 0)) / jnp.sum(far),
        "circle_field_error": jnp.linalg.norm(learned - exact) / jnp.linalg.norm(exact),
    }


@functools.partial(jax.jit, static_argnames="cfg")
def on_roll(key, cfg: Config) -> tuple[dict[str, Float[Array, ""]], tuple]:
    """Points of the roll thrown off it along its normal: the share where field . normal has the other sign than the throw, and the cosine with the way back.
    Also the spiral and the field in a slice through the middle, for the picture."""
    key_data, key_train, key_at, key_throw = jax.random.split(key, 4)
    x, _ = swiss_roll(key_data, cfg.points)
    params, _ = learn_field(key_train, x, cfg.field_noise, cfg.hidden, cfg.roll_steps, cfg.batch)
    at, t = swiss_roll(key_at, 1000)
    tangent = jnp.stack(
        [jnp.cos(t) - t * jnp.sin(t), jnp.zeros_like(t), jnp.sin(t) + t * jnp.cos(t)], 1
    )
    normal = jnp.stack([tangent[:, 2], jnp.zeros_like(t), -tangent[:, 0]], 1) / jnp.linalg.norm(
        tangent, axis=1, keepdims=True
    )
    throw = jax.random.uniform(key_throw, (1000,), minval=0.05, maxval=0.2) * jnp.where(
        jnp.arange(1000) % 2, 1.0, -1.0
    )
    back = field(params, at + throw[:, None] * normal)
    along = jnp.sum(back * normal, 1)
    metrics = {
        "roll_points_back": jnp.mean((along * throw < 0).astype(jnp.float32)),
        "roll_cosine": jnp.median(-along * jnp.sign(throw) / jnp.linalg.norm(back, axis=1)),
    }
    side = jnp.linspace(-1.6, 1.6, 27)
    grid = jnp.stack(
        [a.ravel() for a in jnp.meshgrid(side, jnp.array([1.05]), side, indexing="ij")], 1
    )
    return metrics, (x, grid, field(params, grid))


@functools.partial(jax.jit, static_argnames="cfg")
def on_digits(key, cfg: Config) -> dict[str, Float[Array, ""]]:
    """Held-out digits with noise: how much of it a denoiser takes away along the manifold, spanned by the differences to near digits, and across it."""
    key_train, key_noise = jax.random.split(key)
    x, _, held, _ = map(jnp.asarray, datasets.digit_vectors())
    params, _ = learn_field(key_train, x, DIGITS_NOISE, cfg.hidden, cfg.steps, cfg.batch)
    noise = DIGITS_NOISE * jax.random.normal(key_noise, held.shape)
    removed = -field(params, held + noise)
    _, index = nearest(held, 3 * DIGITS_DIMENSION)
    around = held[index] - held[:, None]
    tangent = jnp.linalg.svd(around, full_matrices=False)[2][:, :DIGITS_DIMENSION]
    split = lambda v: (
        along := jnp.einsum("NdD,ND->Nd", tangent, v),
        v - jnp.einsum("NdD,Nd->ND", tangent, along),
    )
    (noise_along, noise_across), (removed_along, removed_across) = split(noise), split(removed)
    share = lambda a, b: jnp.sum(a * b) / jnp.sum(jnp.square(b))
    return {
        "digits_removed_across": share(removed_across, noise_across),
        "digits_removed_along": share(removed_along, noise_along),
        "digits_error_left": jnp.linalg.norm(noise - removed) / jnp.linalg.norm(noise),
        "digits_cosine": jnp.mean(
            jnp.sum(removed * noise, 1)
            / jnp.linalg.norm(removed, axis=1)
            / jnp.linalg.norm(noise, axis=1)
        ),
    }


def study(cfg: Config, key) -> Result:
    """Dimensions, errors of autoencoders by width, fields of denoisers."""
    key_cloud, key_roll, key_digit, key_circle, key_field, key_denoise = jax.random.split(key, 6)
    keys = jax.random.split(key_cloud, len(cfg.spheres) + 3)
    x, _, held, _ = datasets.digit_vectors()
    clouds = {
        f"sphere_{d}": sphere(key, cfg.points, d)
        for d, key in zip(cfg.spheres, keys[3:], strict=True)
    }
    clouds |= {
        "roll": swiss_roll(keys[0], cfg.points)[0],
        "roll_noisy": swiss_roll(keys[1], cfg.points, ROLL_NOISE)[0],
    }
    clouds["digits"] = np.unique(np.concatenate([x, held]), axis=0)
    metrics = dimensions(clouds, cfg.neighbors)
    roll, roll_held = clouds["roll"], swiss_roll(keys[2], 1000)[0]
    centred = lambda some: jnp.asarray(some) - jnp.mean(jnp.asarray(roll), 0, keepdims=True)
    for name, key, data, widths, steps in (
        ("roll", key_roll, (centred(roll), centred(roll_held)), cfg.roll_widths, cfg.roll_steps),
        ("digits", key_digit, (jnp.asarray(x), jnp.asarray(held)), cfg.digit_widths, cfg.steps),
    ):
        of_seed = lambda key, data=data, widths=widths, steps=steps: bottleneck_errors(
            key, *data, widths, cfg.hidden, steps, cfg.batch
        )
        errors = np.median(jax.vmap(of_seed)(jax.random.split(key, cfg.seeds)), axis=0)
        metrics |= {
            f"autoencoder_{name}_{width}": float(e) for width, e in zip(widths, errors, strict=True)
        }
    metrics |= {
        f"linear_digits_{width}": linear_error(x, held, width) for width in cfg.digit_widths
    }
    from_roll, picture = on_roll(key_field, cfg)
    metrics |= {
        name: float(x)
        for name, x in (
            on_circle(key_circle, cfg) | from_roll | on_digits(key_denoise, cfg)
        ).items()
    }
    return Result(
        metrics,
        {"manifold.png": draw(metrics, list(clouds), jax.tree.map(np.asarray, picture), cfg)},
    )


def draw(metrics: dict[str, float], clouds: list[str], picture: tuple, cfg: Config):
    """Dimension over the scale of the estimate; error over the width of an autoencoder; the field around the roll."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 5), layout="constrained")
    scale, width, around = figure.subplots(1, 3)
    for i, name in enumerate(clouds):
        scale.plot(
            cfg.neighbors,
            [metrics[f"mle_{name}_k{k}"] for k in cfg.neighbors],
            "-o",
            color=f"C{i}",
            ms=4,
            label=name.replace("_", " "),
        )
        scale.plot(2, metrics[f"two_nn_{name}"], "s", color=f"C{i}")
    scale.set(
        title="dimension: maximum likelihood over k, TwoNN as squares",
        xlabel="neighbours k",
        xscale="log",
        yscale="log",
    )
    scale.set_yticks([1, 2, 3, 5, 10], ["1", "2", "3", "5", "10"])
    scale.legend(frameon=False, fontsize=8, ncols=2)
    for name, widths in (("roll", cfg.roll_widths), ("digits", cfg.digit_widths)):
        width.plot(
            widths,
            [metrics[f"autoencoder_{name}_{w}"] for w in widths],
            "-o",
            label=f"{name}, held out",
        )
    linear = [metrics[f"linear_digits_{w}"] for w in cfg.digit_widths]
    width.plot(cfg.digit_widths, linear, "--", color="C1", label="digits, principal components")
    width.set(
        title="autoencoder: error left, as a share of the variance",
        xlabel="width of the middle",
        xscale="log",
        yscale="log",
    )
    width.legend(frameon=False)
    x, grid, arrows = picture
    around.plot(*x[:, [0, 2]].T, ".", ms=1, color="C1")
    arrows = arrows * np.minimum(1, 0.15 / np.linalg.norm(arrows, axis=1, keepdims=True))
    around.quiver(
        *grid[:, [0, 2]].T,
        *arrows[:, [0, 2]].T,
        angles="xy",
        scale_units="xy",
        scale=1,
        color="C0",
        width=0.003,
    )
    around.set(
        title="field of a denoiser around the swiss roll",
        xlim=(-1.7, 1.7),
        ylim=(-1.7, 1.7),
        aspect="equal",
    )
    for ax in (scale, width):
        ax.grid(alpha=0.3, which="both")
    return figure
