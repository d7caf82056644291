"""Denoisers and the field that they learn: min E |x - r(x + s e)|^2 with normal noise e.

The minimum is r(y) = E[x | y], so the field r(y) - y = s^2 grad log p_s(y) points to the data
(Miyasawa 1961; Vincent 2011; Alain & Bengio 2014, arXiv:1211.4246). For points spread evenly over
the unit circle it has a closed form:

    r(y) = y / |y| I_1(|y| / s^2) / I_0(|y| / s^2),   I_k the modified Bessel functions.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import i0e, i1e
from jaxtyping import Array, Float

from panorax.core import figures, spec
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.data import datasets
from panorax.maths.clouds.dimension import sphere, swiss_roll
from panorax.maths.clouds.neighbors import nearest
from panorax.nets import mlp

CIRCLE_NOISE, DIGITS_NOISE = 0.3, 0.5
"""standard deviations s of the noise on the circle and on the digits"""
DIGITS_DIMENSION = 10
"""dimension of the tangent spaces of the digits"""
NETWORK = ("points", "hidden", "steps", "batch")


def field(params, y: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
    """r(y) - y, the output of the network that `learn_field` trains."""
    return mlp.perceptron(params, y, jax.nn.silu)


@functools.partial(jax.jit, static_argnames=("hidden", "steps", "batch"))
def learn_field(key, x_ND, noise: float, hidden: tuple[int, ...], steps: int, batch: int):
    """Parameters of a denoiser of the cloud for noise of this standard deviation, and its losses.

    The losses (steps,) are the mean squared errors of the batches before each update.
    """
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
    """The exact r(y) - y for points spread evenly over the unit circle."""
    radius = jnp.linalg.norm(y_N2, axis=1, keepdims=True)
    pull = i1e(radius / noise**2) / i0e(radius / noise**2)
    return y_N2 * (pull / radius - 1)


class CircleField(NamedTuple):
    """The learned and the exact field at points around the unit circle."""

    offset_N: Float[Array, " N"]
    """distance of each point from the circle, negative inside"""
    learned_N: Float[Array, " N"]
    """component of the learned field along the outward normal"""
    exact_N: Float[Array, " N"]
    """component of the exact field along the outward normal"""
    error: Float[Array, ""]
    """|learned - exact| / |exact| over all points"""


@functools.partial(jax.jit, static_argnames=NETWORK)
def around_circle(key, points: int, hidden: tuple[int, ...], steps: int, batch: int) -> CircleField:
    """Trains a denoiser of the circle; measures its field up to 0.3 inside and outside."""
    key_data, key_train, key_at = jax.random.split(key, 3)
    params, _ = learn_field(
        key_train, sphere(key_data, points, 1), CIRCLE_NOISE, hidden, steps, batch
    )
    normal = sphere(key_at, 1000, 1)
    offset = jnp.linspace(-0.3, 0.3, 1000)
    y = normal * (1 + offset)[:, None]
    learned, exact = field(params, y), circle_field(y, CIRCLE_NOISE)
    along = lambda v: jnp.sum(v * normal, 1)
    error = jnp.linalg.norm(learned - exact) / jnp.linalg.norm(exact)
    return CircleField(offset, along(learned), along(exact), error)


def field_circle(key, **network) -> Result:
    """The field of a denoiser of the unit circle, beside the exact one."""
    measured = CircleField(*map(np.asarray, around_circle(key, **network)))
    # I_1(z) / I_0(z) is about 1 - 1 / 2z: the exact field is 0 at radius 1 - s^2 / 2
    from_zero = measured.offset_N + CIRCLE_NOISE**2 / 2
    far = np.abs(from_zero) > 0.1
    metrics = {
        "circle_points_back": float(np.mean((measured.learned_N * from_zero < 0)[far])),
        "circle_field_error": float(measured.error),
    }
    return Result(metrics, {"field_circle.png": draw_circle(measured)})


def draw_circle(measured: CircleField):
    """Radial components of both fields over the distance from the circle."""
    figure, (ax,) = figures.panels()
    ax.plot(measured.offset_N, measured.learned_N, ".", ms=3, label="learned")
    ax.plot(measured.offset_N, measured.exact_N, color="black", label="exact")
    ax.set(title="field of a denoiser of the unit circle")
    ax.set(xlabel="distance from the circle (negative: inside)", ylabel="outward component")
    return figures.legends(figure)


class RollField(NamedTuple):
    """The learned field at points moved off the swiss roll along its normal."""

    displacement_N: Float[Array, " N"]
    """signed length of each move along the normal"""
    along_N: Float[Array, " N"]
    """component of the field along the normal"""
    length_N: Float[Array, " N"]
    """Euclidean norm of the field"""
    cloud_M3: Float[Array, "M 3"]
    """points of the roll that the denoiser was trained on"""
    grid_G3: Float[Array, "G 3"]
    """grid in the plane y = 1.05 through the middle of the roll"""
    arrows_G3: Float[Array, "G 3"]
    """field at the points of the grid"""


def roll_normals(t_N: Float[Array, " N"]) -> Float[Array, "N 3"]:
    """Unit normals of the swiss roll at angles t."""
    zero = jnp.zeros_like(t_N)
    x, z = jnp.cos(t_N) - t_N * jnp.sin(t_N), jnp.sin(t_N) + t_N * jnp.cos(t_N)  # the tangent
    return jnp.stack([z, zero, -x], 1) / jnp.sqrt(x**2 + z**2)[:, None]


@functools.partial(jax.jit, static_argnames=NETWORK)
def around_roll(
    key, noise: float, points: int, hidden: tuple[int, ...], steps: int, batch: int
) -> RollField:
    """Trains a denoiser of the swiss roll; measures its field 0.05 to 0.2 off the roll."""
    key_data, key_train, key_at, key_move = jax.random.split(key, 4)
    cloud, _ = swiss_roll(key_data, points)
    params, _ = learn_field(key_train, cloud, noise, hidden, steps, batch)
    on_roll, t = swiss_roll(key_at, 1000)
    normal = roll_normals(t)
    side = jnp.where(jnp.arange(1000) % 2, 1.0, -1.0)
    displacement = side * jax.random.uniform(key_move, (1000,), minval=0.05, maxval=0.2)
    back = field(params, on_roll + displacement[:, None] * normal)
    line = jnp.linspace(-1.6, 1.6, 27)
    axes = jnp.meshgrid(line, jnp.array([1.05]), line, indexing="ij")
    grid = jnp.stack([a.ravel() for a in axes], 1)
    along, length = jnp.sum(back * normal, 1), jnp.linalg.norm(back, axis=1)
    return RollField(displacement, along, length, cloud, grid, field(params, grid))


def field_roll(key, noise: float, **network) -> Result:
    """Direction of the field of a denoiser of the swiss roll: the share that points to the roll."""
    measured = RollField(*map(np.asarray, around_roll(key, noise, **network)))
    inward = -measured.along_N * np.sign(measured.displacement_N)
    metrics = {
        "roll_points_back": float(np.mean(inward > 0)),
        "roll_cosine": float(np.median(inward / measured.length_N)),
    }
    return Result(metrics, {"field_roll.png": draw_roll(measured)})


def draw_roll(measured: RollField):
    """The roll from the side and the field around it; arrows have length 0.15 at most."""
    figure, (ax,) = figures.panels(width=5, height=5)
    length = np.linalg.norm(measured.arrows_G3, axis=1, keepdims=True)
    arrows = measured.arrows_G3 * np.minimum(1, 0.15 / length)
    x, z = measured.cloud_M3[:, [0, 2]].T
    ax.plot(x, z, ".", ms=1, color=figures.COLORS[1], label="training points")
    style = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.003}
    ax.quiver(
        *measured.grid_G3[:, [0, 2]].T, *arrows[:, [0, 2]].T, color=figures.COLORS[0], **style
    )
    ax.set(title="field of a denoiser around the swiss roll", aspect="equal")
    ax.set(xlabel="x", ylabel="z", xlim=(-1.7, 1.7), ylim=(-1.7, 1.7))
    return figures.legends(figure, loc="upper right", frameon=True)


class DigitNoise(NamedTuple):
    """Noise on held-out digits, and the noise that the denoiser removes."""

    digits_ND: Float[Array, "N D"]
    """held-out digits"""
    added_ND: Float[Array, "N D"]
    """noise added to each digit"""
    removed_ND: Float[Array, "N D"]
    """noise that the denoiser removes from each digit"""
    tangent_NdD: Float[Array, "N d D"]
    """orthonormal directions along the manifold, from the differences to near digits"""


@functools.partial(jax.jit, static_argnames=("hidden", "steps", "batch"))
def denoised_digits(key, hidden: tuple[int, ...], steps: int, batch: int) -> DigitNoise:
    """Trains a denoiser of the digits and applies it to noisy held-out digits."""
    key_train, key_noise = jax.random.split(key)
    x, _, held, _ = map(jnp.asarray, datasets.digit_vectors())
    params, _ = learn_field(key_train, x, DIGITS_NOISE, hidden, steps, batch)
    noise = DIGITS_NOISE * jax.random.normal(key_noise, held.shape)
    _, index = nearest(held, 3 * DIGITS_DIMENSION)
    differences = held[index] - held[:, None]
    tangent = jnp.linalg.svd(differences, full_matrices=False)[2][:, :DIGITS_DIMENSION]
    return DigitNoise(held, noise, -field(params, held + noise), tangent)


def split_at_tangent(v_ND: np.ndarray, tangent_NdD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The components of v along the tangent spaces (N, d) and the rest across them (N, D)."""
    along = np.einsum("NdD,ND->Nd", tangent_NdD, v_ND)
    return along, v_ND - np.einsum("NdD,Nd->ND", tangent_NdD, along)


def field_digits(key, **network) -> Result:
    """Shares of the noise that a denoiser removes along the manifold of digits and across it."""
    measured = DigitNoise(*map(np.asarray, denoised_digits(key, **network)))
    added, removed = measured.added_ND, measured.removed_ND
    added_along, added_across = split_at_tangent(added, measured.tangent_NdD)
    removed_along, removed_across = split_at_tangent(removed, measured.tangent_NdD)
    share = lambda a, b: np.sum(a * b) / np.sum(np.square(b))
    norm = lambda v: np.linalg.norm(v, axis=1)
    metrics = {
        "digits_removed_across": float(share(removed_across, added_across)),
        "digits_removed_along": float(share(removed_along, added_along)),
        "digits_error_left": float(np.linalg.norm(added - removed) / np.linalg.norm(added)),
        "digits_cosine": float(np.mean(np.sum(removed * added, 1) / norm(removed) / norm(added))),
    }
    return Result(metrics, {"field_digits.png": draw_digits(measured)})


def draw_digits(measured: DigitNoise):
    """Ten held-out digits, the same with noise, and the denoiser's output, a row each."""
    digits, noisy = measured.digits_ND[:10], (measured.digits_ND + measured.added_ND)[:10]
    rows = np.concatenate([digits, noisy, noisy - measured.removed_ND[:10]])
    figure = figures.pictures(rows.reshape(-1, 8, 8), columns=10, vmin=-1, vmax=1)
    figure.suptitle("held-out digits, with noise, denoised", fontsize=11)
    return figure
