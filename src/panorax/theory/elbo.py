"""The evidence lower bound of a latent variable model, learned: the variational autoencoder, its tighter bounds, and the linear one, which is known exactly.

A decoder says how data come about, z ~ N(0, I), x ~ N(f(z), s^2 I); an encoder answers with q(z | x) = N(m(x), diag v(x)), and both climb

    log p(x)  >=  E_q [log p(x | z)] - KL(q(z | x) | N(0, I))  =  ELBO                               (Kingma & Welling 2014, arXiv:1312.6114)
    log p(x)  >=  L_K = E log 1/K sum_k p(x, z_k) / q(z_k | x),    L_1 = ELBO,    L_K <= L_{K+1} -> log p(x)   (Burda et al. 2016, arXiv:1509.00519)

where ELBO = log p(x) - KL(q(z | x) | p(z | x)). With a linear f and m this is probabilistic PCA, x ~ N(mu, W W^T + s^2 I), whose likelihood is largest at
W = U (D - s^2)^(1/2) R, U and D the first eigenvectors and eigenvalues of the covariance, s^2 the mean of the others (Tipping & Bishop 1999). There the
true posterior is in the encoder's reach, and the bound is the likelihood (Lucas et al. 2019, arXiv:1911.02469).
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from panorax.core import spec as core_spec
from panorax.core.config import Run
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, checked
from panorax.core.spec import P
from panorax.core.state import Result, State, System, first_state
from panorax.core.step import update
from panorax.data import datasets
from panorax.data.batches import epochs, weighted
from panorax.maths.inference.gaussian_family import kl_to_standard_normal
from panorax.nets import mlp
from panorax.ops.losses import gaussian_nll

PIXELS = 64


@checked
class Config:
    latent: Count = 8
    """dimensions of z"""
    hidden: tuple[Count, ...] = (256, 128)
    """widths of the encoder, and in reverse of the decoder; empty for linear maps"""
    batch: Count = 128
    optim: Optimizer = AdamW()
    run: Run = Run()
    importance: tuple[Count, ...] = (1, 10, 100, 1000)
    """samples K of the bounds that are reported"""


def spec(cfg: Config):
    """Encoder, decoder, and log s^2."""
    widths = (PIXELS, *cfg.hidden)
    return {
        "encoder": mlp.spec(widths),
        "encoded": mlp.dense_spec(widths[-1], 2 * cfg.latent, mlp.fan_in(0.1)),
        "decoder": mlp.spec((cfg.latent, *cfg.hidden[::-1])),
        "decoded": mlp.dense_spec(
            cfg.hidden[0] if cfg.hidden else cfg.latent, PIXELS, mlp.fan_in(1.0)
        ),
        "log_variance": P((), (), jax.nn.initializers.zeros),
    }


def encode(params, x_BX: Float[Array, "B X"]) -> tuple[Float[Array, "B Z"], Float[Array, "B Z"]]:
    """Mean and log variance of q(z | x)."""
    mean, log_variance = jnp.split(
        mlp.dense(params["encoded"], mlp.apply(params["encoder"], x_BX, jax.nn.silu)), 2, -1
    )
    return mean, log_variance


def decode(params, z: Float[Array, "*B Z"]) -> Float[Array, "*B X"]:
    """f(z)."""
    return mlp.dense(params["decoded"], mlp.apply(params["decoder"], z, jax.nn.silu))


def log_likelihood(params, x, z) -> Float[Array, "*B"]:
    """log p(x | z)."""
    return -jnp.sum(
        gaussian_nll(x, decode(params, z), jnp.full_like(x, params["log_variance"])), -1
    )


def elbo(params, x_BX: Float[Array, "B X"], key) -> tuple[Float[Array, " B"], Float[Array, " B"]]:
    """The bound of each x with one sample of z, and its KL term, which needs none."""
    mean, log_variance = encode(params, x_BX)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    kl = kl_to_standard_normal(mean, log_variance)
    return log_likelihood(params, x_BX, z) - kl, kl


def importance_bound(params, x_BX: Float[Array, "B X"], key, k: int) -> Float[Array, " B"]:
    """L_k of each x, from k samples."""
    mean, log_variance = encode(params, x_BX)
    e = jax.random.normal(key, (k, *mean.shape))
    z = mean[None] + jnp.exp(0.5 * log_variance)[None] * e
    log_q = (
        -jnp.sum(gaussian_nll(e, jnp.zeros_like(e), jnp.zeros_like(e)), -1)
        - 0.5 * jnp.sum(log_variance, -1)[None]
    )
    log_prior = -jnp.sum(gaussian_nll(z, jnp.zeros_like(z), jnp.zeros_like(z)), -1)
    log_weight = (
        log_likelihood(params, jnp.broadcast_to(x_BX[None], (k, *x_BX.shape)), z)
        + log_prior
        - log_q
    )
    return jax.nn.logsumexp(log_weight, 0) - math.log(k)


def ppca(x: np.ndarray, latent: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Probabilistic PCA of largest likelihood: the mean, W (with R = I) and s^2, in float64. Raises ValueError unless latent < dimensions."""
    if not latent < x.shape[1]:
        raise ValueError(
            f"{latent} latent dimensions are not fewer than the {x.shape[1]} of the data"
        )
    x = np.asarray(x, np.float64)
    mean, (eigenvalues, vectors) = x.mean(0), np.linalg.eigh(np.cov(x.T, bias=True))
    noise = eigenvalues[:-latent].mean()
    return mean, vectors[:, -latent:] * np.sqrt(eigenvalues[-latent:] - noise), float(noise)


def ppca_log_likelihood(x: np.ndarray, mean: np.ndarray, w: np.ndarray, noise: float) -> np.ndarray:
    """log N(x; mean, W W^T + s^2 I) of each x, in nats."""
    covariance = w @ w.T + noise * np.eye(len(w))
    centred = np.asarray(x, np.float64) - mean
    square = np.sum(centred * np.linalg.solve(covariance, centred.T).T, 1)
    return -0.5 * (square + np.linalg.slogdet(2 * np.pi * covariance)[1])


def loss_fn(params, extra, batch, key):
    """-ELBO, mean over the batch, in nats per image."""
    bound, kl = elbo(params, batch["x"], key)
    return -jnp.mean(bound), (
        extra,
        {"kl": jnp.mean(kl), "noise": jnp.exp(0.5 * params["log_variance"])},
    )


def train_step(state: State, batch, key, tx: optax.GradientTransformation):
    """One update; biases and the noise do not decay."""
    params, opt, extra, metrics = update(
        loss_fn, tx, state.params, state.opt, state.extra, batch, key
    )
    return State(params, opt, extra, state.step + 1), metrics


def evaluate(state: State, batch, key):
    """The bound on held-out images."""
    bound, _ = elbo(state.params, batch["x"], key)
    return {"eval_bound": (jnp.sum(bound * batch["weight"]), jnp.sum(batch["weight"]))}


def images() -> tuple[np.ndarray, np.ndarray]:
    """Digits to learn from and digits held out, (N, 64) in [-1, 1]."""
    x, _, held, _ = datasets.digit_vectors()
    return x, held


def report(state: State, key: jax.Array, cfg: Config) -> Result:
    """Bounds L_K on held-out digits, the exact likelihood of probabilistic PCA with as many latent dimensions, and pictures."""
    key_bound, key_train, key_sample = jax.random.split(key, 3)
    x, held = (jnp.asarray(some) for some in images())
    bound = jax.jit(importance_bound, static_argnames="k")
    metrics = {
        f"held_out_bound_{k}": float(jnp.mean(bound(state.params, held, key_bound, k)))
        for k in cfg.importance
    }
    fitted = ppca(x, cfg.latent)
    metrics["held_out_ppca"], metrics["train_ppca"] = (
        float(ppca_log_likelihood(some, *fitted).mean()) for some in (held, x)
    )
    metrics["train_bound"] = float(
        jnp.mean(
            jax.vmap(lambda key: elbo(state.params, x, key)[0])(jax.random.split(key_train, 100))
        )
    )
    metrics["train_ppca_minus_bound"] = metrics["train_ppca"] - metrics["train_bound"]
    metrics["noise_over_ppca"] = (
        float(jnp.exp(0.5 * state.params["log_variance"])) / fitted[2] ** 0.5
    )
    metrics["active"] = float(jnp.sum(jnp.std(encode(state.params, held)[0], 0) > 0.1))
    mean, _ = encode(state.params, held[:50])
    drawn = decode(state.params, jax.random.normal(key_sample, (50, cfg.latent)))
    return Result(
        metrics,
        {
            "elbo.png": draw(
                np.asarray(held[:50]),
                np.asarray(decode(state.params, mean)),
                np.asarray(drawn),
                metrics,
                cfg,
            )
        },
    )


def draw(real: np.ndarray, rebuilt: np.ndarray, drawn: np.ndarray, metrics, cfg: Config):
    """Digits, what comes back of them, digits from the prior, and the bounds over K."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 4), layout="constrained")
    *pictures, curve = figure.subplots(1, 4)
    for ax, (title, some) in zip(
        pictures,
        (("held-out digits", real), ("rebuilt", rebuilt), ("from the prior", drawn)),
        strict=True,
    ):
        grid = some.reshape(5, 10, 8, 8).transpose(0, 2, 1, 3).reshape(40, 80)
        ax.imshow(grid, cmap="gray_r", vmin=-1, vmax=1)
        ax.set(title=title)
        ax.set_axis_off()
    curve.plot(
        cfg.importance,
        [metrics[f"held_out_bound_{k}"] for k in cfg.importance],
        "-o",
        label="bound $L_K$",
    )
    curve.axhline(
        metrics["held_out_ppca"],
        ls="--",
        color="gray",
        label=f"probabilistic PCA, {cfg.latent} directions",
    )
    curve.set(title="nats an image, held out", xlabel="samples K", xscale="log")
    curve.legend(frameon=False)
    curve.grid(alpha=0.3)
    return figure


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """The autoencoder on digits; `tx` replaces the optimiser of the config."""
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
