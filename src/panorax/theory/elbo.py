"""The variational autoencoder, its tighter importance-weighted bounds, and its exact linear case.

A decoder models the data, z ~ N(0, I), x ~ N(f(z), s^2 I). An encoder approximates the posterior by
q(z | x) = N(m(x), diag v(x)). Both maximise

    log p(x) >= ELBO = E_q [log p(x | z)] - KL(q(z | x) | N(0, I))
    log p(x) >= L_K = E log 1/K sum_k p(x, z_k) / q(z_k | x),   L_1 = ELBO,   L_K <= L_{K+1}

with log p(x) - ELBO = KL(q(z | x) | p(z | x)), and L_K tends to log p(x).

If f and m are linear, the model is probabilistic PCA, x ~ N(mu, W W^T + s^2 I). Its likelihood is
largest at W = U (D - s^2)^(1/2) R, with U and D the leading eigenvectors and eigenvalues of the
covariance, and s^2 the mean of the other eigenvalues. The encoder can then represent the true
posterior, and the bound equals the likelihood.

Source: Kingma & Welling 2014 (arXiv:1312.6114); L_K: Burda et al. 2016 (arXiv:1509.00519);
probabilistic PCA: Tipping & Bishop 1999; the linear case: Lucas et al. 2019 (arXiv:1911.02469).
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.config import Run
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, checked
from panorax.core.spec import P
from panorax.core.state import Result, State, System, first_state
from panorax.core.step import update
from panorax.core.study import family
from panorax.data import datasets
from panorax.data.batches import epochs, weighted
from panorax.maths.inference.gaussian_family import kl_to_standard_normal
from panorax.nets import mlp
from panorax.ops.losses import gaussian_nll

PIXELS = 64

UNITS = dict.fromkeys(("loss", "bound", "kl"), "nats per image")
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    latent: Count = 8
    """dimensions of z [Z]"""
    hidden: tuple[Count, ...] = (256, 128)
    """hidden widths of the encoder, reversed in the decoder; empty for linear maps"""
    batch: Count = 128
    """images per step [B]"""
    optim: Optimizer = AdamW()
    """optimiser of encoder, decoder and s"""
    run: Run = Run()
    """length, checkpoints and seed of the run"""
    importance: tuple[Count, ...] = (1, 10, 100, 1000)
    """samples K of the reported bounds"""


def spec(cfg: Config):
    """Parameters of the encoder and the decoder, and log s^2."""
    widths = (PIXELS, *cfg.hidden)
    last = cfg.hidden[0] if cfg.hidden else cfg.latent
    return {
        "encoder": mlp.spec(widths),
        "encoded": mlp.dense_spec(widths[-1], 2 * cfg.latent, mlp.fan_in(0.1)),
        "decoder": mlp.spec((cfg.latent, *cfg.hidden[::-1])),
        "decoded": mlp.dense_spec(last, PIXELS, mlp.fan_in(1.0)),
        "log_variance": P((), (), jax.nn.initializers.zeros),
    }


def encode(params, x_BX: Float[Array, "B X"]) -> tuple[Float[Array, "B Z"], Float[Array, "B Z"]]:
    """Mean and log variance of q(z | x)."""
    h = mlp.apply(params["encoder"], x_BX, jax.nn.silu)
    mean, log_variance = jnp.split(mlp.dense(params["encoded"], h), 2, -1)
    return mean, log_variance


def decode(params, z: Float[Array, "*B Z"]) -> Float[Array, "*B X"]:
    """Mean f(z) of p(x | z)."""
    return mlp.dense(params["decoded"], mlp.apply(params["decoder"], z, jax.nn.silu))


def log_likelihood(params, x: Float[Array, "*B X"], z: Float[Array, "*B Z"]) -> Float[Array, "*B"]:
    """log p(x | z), in nats."""
    log_variance = jnp.full_like(x, params["log_variance"])
    return -jnp.sum(gaussian_nll(x, decode(params, z), log_variance), -1)


def elbo(params, x_BX: Float[Array, "B X"], key) -> tuple[Float[Array, " B"], Float[Array, " B"]]:
    """(ELBO, KL) of each x in nats: one sample of z estimates E_q [log p(x | z)], KL is exact."""
    mean, log_variance = encode(params, x_BX)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    kl = kl_to_standard_normal(mean, log_variance)
    return log_likelihood(params, x_BX, z) - kl, kl


def importance_bound(params, x_BX: Float[Array, "B X"], key, k: int) -> Float[Array, " B"]:
    """An estimate of L_k for each x in nats, from k samples of z."""
    mean, log_variance = encode(params, x_BX)
    e = jax.random.normal(key, (k, *mean.shape))
    z = mean[None] + jnp.exp(0.5 * log_variance)[None] * e
    log_normal = lambda y: -jnp.sum(gaussian_nll(y, jnp.zeros_like(y), jnp.zeros_like(y)), -1)
    log_q = log_normal(e) - 0.5 * jnp.sum(log_variance, -1)[None]
    x = jnp.broadcast_to(x_BX[None], (k, *x_BX.shape))
    log_weight = log_likelihood(params, x, z) + log_normal(z) - log_q
    return jax.nn.logsumexp(log_weight, 0) - math.log(k)


class PPCA(NamedTuple):
    """Probabilistic PCA, x ~ N(mean, w w^T + noise I), in float64."""

    mean: np.ndarray
    """mean of the data, (X,)"""
    w: np.ndarray
    """loadings W with R = I, (X, Z)"""
    noise: float
    """variance of the noise [s^2]"""


def ppca(x: np.ndarray, latent: int) -> PPCA:
    """The maximum likelihood fit to x (N, X).

    Raises ValueError unless `latent` is below X.
    """
    if not latent < x.shape[1]:
        raise ValueError(
            f"latent dimensions must be fewer than the {x.shape[1]} of x, got {latent}"
        )
    x = np.asarray(x, np.float64)
    eigenvalues, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    noise = eigenvalues[:-latent].mean()
    w = vectors[:, -latent:] * np.sqrt(eigenvalues[-latent:] - noise)
    return PPCA(x.mean(0), w, float(noise))


def ppca_log_likelihood(x: np.ndarray, model: PPCA) -> np.ndarray:
    """log p(x) of each row of x (N, X) under the model, in nats."""
    covariance = model.w @ model.w.T + model.noise * np.eye(len(model.w))
    centred = np.asarray(x, np.float64) - model.mean
    square = np.sum(centred * np.linalg.solve(covariance, centred.T).T, 1)
    return -0.5 * (square + np.linalg.slogdet(2 * np.pi * covariance)[1])


def loss_fn(params, extra, batch, key):
    """-ELBO, mean over the batch, in nats per image."""
    bound, kl = elbo(params, batch["x"], key)
    metrics = {"kl": jnp.mean(kl), "noise": jnp.exp(0.5 * params["log_variance"])}
    return -jnp.mean(bound), (extra, metrics)


def train_step(state: State, batch, key, tx: optax.GradientTransformation):
    """One update. Biases and log s^2 do not decay."""
    params, opt, extra, metrics = update(
        loss_fn, tx, state.params, state.opt, state.extra, batch, key
    )
    return State(params, opt, extra, state.step + 1), metrics


def evaluate(state: State, batch, key):
    """The ELBO of held-out images, in nats per image."""
    bound, _ = elbo(state.params, batch["x"], key)
    return {"eval_bound": (jnp.sum(bound * batch["weight"]), jnp.sum(batch["weight"]))}


def images() -> tuple[np.ndarray, np.ndarray]:
    """Training digits and held-out digits, each (N, 64) in [-1, 1]."""
    x, _, held, _ = datasets.digit_vectors()
    return x, held


def report(state: State, key: jax.Array, cfg: Config) -> Result:
    """Bounds beside the exact likelihood of probabilistic PCA with `cfg.latent` dimensions.

    `active` counts the latent dimensions whose posterior mean has a standard deviation above 0.1
    over the held-out digits.
    """
    key_bound, key_train, key_sample = jax.random.split(key, 3)
    params = state.params
    x, held = (jnp.asarray(split) for split in images())
    bounds = held_out_bounds(key_bound, params, held, cfg)
    metrics = family("held_out_bound_{}", bounds)
    metrics |= beside_ppca(key_train, params, x, held, cfg)
    metrics["active"] = float(jnp.sum(jnp.std(encode(params, held)[0], 0) > 0.1))
    pictures = draw_digits(digit_rows(key_sample, params, held, cfg))
    curve = draw_bounds(bounds, metrics["held_out_ppca"], cfg)
    return Result(metrics, {"digits.png": pictures, "bounds.png": curve})


def held_out_bounds(key, params, held: Float[Array, "N X"], cfg: Config) -> dict[int, float]:
    """Mean of L_K over the held-out digits for each K, in nats per image."""
    bound = jax.jit(importance_bound, static_argnames="k")
    return {k: float(jnp.mean(bound(params, held, key, k))) for k in cfg.importance}


def beside_ppca(
    key, params, x: Float[Array, "N X"], held: Float[Array, "M X"], cfg: Config
) -> dict[str, float]:
    """Exact likelihoods of probabilistic PCA, beside the ELBO and the noise of the autoencoder."""
    model = ppca(x, cfg.latent)
    bounds = jax.vmap(lambda key: elbo(params, x, key)[0])(jax.random.split(key, 100))
    exact = float(ppca_log_likelihood(x, model).mean())
    bound = float(jnp.mean(bounds))
    return {
        "held_out_ppca": float(ppca_log_likelihood(held, model).mean()),
        "train_ppca": exact,
        "train_bound": bound,
        "train_ppca_minus_bound": exact - bound,
        "noise_over_ppca": float(jnp.exp(0.5 * params["log_variance"])) / model.noise**0.5,
    }


def digit_rows(key, params, held: Float[Array, "N X"], cfg: Config) -> np.ndarray:
    """Ten held-out digits, their reconstructions f(m(x)), and ten samples f(z), (30, 8, 8)."""
    mean, _ = encode(params, held[:10])
    samples = decode(params, jax.random.normal(key, (10, cfg.latent)))
    return np.concatenate([held[:10], decode(params, mean), samples]).reshape(-1, 8, 8)


def draw_digits(pictures: np.ndarray):
    """Rows of held-out digits, reconstructions and samples."""
    figure = figures.pictures(pictures, columns=10, vmin=-1, vmax=1)
    figure.suptitle("held-out digits, reconstructions, samples from the prior", fontsize=11)
    return figure


def draw_bounds(bounds: dict[int, float], exact: float, cfg: Config):
    """L_K on held-out digits over K, and the exact likelihood of probabilistic PCA."""
    figure, (ax,) = figures.panels()
    ax.plot(list(bounds), list(bounds.values()), "-o", label="bound $L_K$")
    label = f"probabilistic PCA, {cfg.latent} directions"
    ax.axhline(exact, ls="--", color="gray", label=label)
    ax.set(title="held-out digits", xlabel="samples K", xscale="log")
    ax.set_ylabel("log likelihood (nats per image)")
    return figures.legends(figure)


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """The autoencoder on digits. `tx` replaces the optimiser of the config."""
    tx = tx or optimizer(cfg.optim, cfg.run.steps, spec(cfg))

    def batches(step: int):
        x, _ = images()
        return {"x": x[epochs(len(x), cfg.batch, cfg.run.seed, step)]}

    return System(
        spec=spec(cfg),
        init_state=lambda key: first_state(core_spec.init(spec(cfg), key), tx),
        train_step=functools.partial(train_step, tx=tx),
        evaluate=evaluate,
        batch={"x": jax.ShapeDtypeStruct((cfg.batch, PIXELS), jnp.float32)},
        batches=batches,
        held_out=lambda: weighted({"x": images()[1]}, cfg.batch),
        report=functools.partial(report, cfg=cfg),
        per_step={"examples": cfg.batch},
    )
