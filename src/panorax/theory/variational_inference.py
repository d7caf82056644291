"""Variational inference beside what is exact: a linear regression with a known posterior, a logistic one beside a long Markov chain, a Bayesian network.

The family of Gaussians and the bound are those of `panorax.maths.inference.gaussian_family`: of a posterior N(mu, P^-1) the best full-rank q is that posterior, and
the best mean field has its mean and the variances 1 / P_ii, too small wherever unknowns are correlated. A network with a Gaussian for every weight is
Bayes by backprop (Blundell et al. 2015, arXiv:1505.05424); the chain is that of `panorax.maths.inference.hamiltonian`.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.data import datasets
from panorax.maths.inference import hamiltonian
from panorax.maths.inference.gaussian_family import Gaussian, elbo, fit, start
from panorax.nets import mlp
from panorax.ops.losses import binary_cross_entropy, gaussian_nll


@checked
class Config:
    steps: Count = 6000
    """of Adam on the bound"""
    samples: Count = 16
    """of q for each gradient"""
    lr: Positive = 0.03
    prior: Positive = 1.0
    """standard deviation of the coefficients"""
    chains: Count = 4
    """of Hamiltonian Monte Carlo"""
    draws: Count = 2000
    """of each chain, after half as many to adapt"""
    leapfrog: Count = 8
    """steps between draws"""
    hidden: Count = 32
    """of the Bayesian network"""
    seed: Whole = 0

    def __post_init__(self):
        if self.chains < 2 or self.draws < 4:
            raise UserError("chains must be at least 2, draws at least 4")


def linear_posterior(
    x: np.ndarray, y: np.ndarray, noise: float, prior: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Of y = x w + N(0, noise^2), w ~ N(0, prior^2 I): the posterior's mean and precision X^T X / noise^2 + I / prior^2, and log p(y), in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    precision = x.T @ x / noise**2 + np.eye(x.shape[1]) / prior**2
    mean = np.linalg.solve(precision, x.T @ y) / noise**2
    covariance = noise**2 * np.eye(len(y)) + prior**2 * x @ x.T
    evidence = -0.5 * (
        y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(2 * np.pi * covariance)[1]
    )
    return mean, precision, float(evidence)


def study(cfg: Config, key) -> Result:
    """Linear regression on the diabetes data, whose posterior is known; logistic regression on the breast cancer data, beside Hamiltonian Monte Carlo; a
    Bayesian network on a curve with a gap."""
    key_linear, key_logistic, key_chain, key_network = jax.random.split(key, 4)
    metrics, noise = {}, 0.7
    x, y = datasets.diabetes()
    mean, precision, evidence = linear_posterior(x, y, noise, cfg.prior)
    deviation, x, y = np.sqrt(np.diag(np.linalg.inv(precision))), jnp.asarray(x), jnp.asarray(y)
    log_joint = lambda w: (
        -jnp.sum(gaussian_nll(y, x @ w, jnp.full(len(y), 2 * math.log(noise))))
        - _prior(w, cfg.prior)
    )
    for family, key_fit in zip(
        ("mean_field", "full_rank"), jax.random.split(key_linear), strict=True
    ):
        q, _ = fit(log_joint, start(x.shape[1], family), key_fit, cfg.steps, cfg.samples, cfg.lr)
        spread = np.sqrt(np.diag(np.asarray(q.factor() @ q.factor().T)))
        expected = deviation if family == "full_rank" else np.diag(precision) ** -0.5
        metrics[f"linear_mean_gap_{family}"] = float(np.abs((q.mean - mean) / deviation).max())
        metrics[f"linear_spread_gap_{family}"] = float(np.abs(spread / expected - 1).max())
        metrics[f"linear_spread_over_exact_{family}"] = float((spread / deviation).min())
        metrics[f"linear_evidence_gap_{family}"] = abs(
            evidence - float(elbo(q, key_fit, log_joint, 4096))
        )

    x, label, held_x, held_label = (jnp.asarray(part) for part in datasets.breast_cancer())
    log_joint = lambda w: (
        -jnp.sum(binary_cross_entropy(x @ w[:-1] + w[-1], label)) - _prior(w, cfg.prior)
    )
    found = {}
    for family, key_fit in zip(
        ("mean_field", "full_rank"), jax.random.split(key_logistic), strict=True
    ):
        found[family], _ = fit(
            log_joint, start(x.shape[1] + 1, family), key_fit, cfg.steps, cfg.samples, cfg.lr
        )
    q = found["full_rank"]
    chains, accepted = hamiltonian.chains(
        log_joint, q.sample(key_chain, cfg.chains), q.factor(), key_chain, cfg.draws, cfg.leapfrog
    )
    metrics["hmc_accepted"], metrics["hmc_largest_r_hat"] = (
        float(accepted),
        float(hamiltonian.potential_scale_reduction(chains).max()),
    )
    draws = chains.reshape(-1, chains.shape[-1])
    exact_mean, exact_spread = jnp.mean(draws, 0), jnp.std(draws, 0)
    for family, q in found.items():
        spread = jnp.linalg.norm(q.factor(), axis=1)
        metrics[f"logistic_mean_gap_{family}"] = float(
            jnp.abs((q.mean - exact_mean) / exact_spread).max()
        )
        metrics[f"logistic_spread_over_hmc_{family}"] = float(jnp.median(spread / exact_spread))
        metrics[f"logistic_held_out_{family}"] = _held_out(
            q.sample(key_chain, 2000), held_x, held_label
        )
    metrics["logistic_held_out_hmc"] = _held_out(
        draws[:: max(1, len(draws) // 2000)], held_x, held_label
    )
    metrics["logistic_held_out_point"] = _held_out(exact_mean[None], held_x, held_label)
    curve = network(key_network, cfg)
    metrics["network_spread_in_gap_over_on_data"] = float(
        curve["spread"][np.abs(curve["at"]) < 0.3].mean() / curve["spread"][curve["seen"]].mean()
    )
    return Result(metrics, {"variational_inference.png": draw(found, draws, curve)})


def _prior(w, scale: float):
    """-log N(w; 0, scale^2 I)."""
    return jnp.sum(gaussian_nll(w, jnp.zeros_like(w), jnp.full_like(w, 2 * math.log(scale))))


def _held_out(draws, x, label) -> float:
    """Mean log probability of held-out labels under the mean of the draws' predictions."""
    each = -jax.vmap(lambda w: binary_cross_entropy(x @ w[:-1] + w[-1], label))(draws)
    return float(jnp.mean(jax.nn.logsumexp(each, 0) - math.log(len(draws))))


def network(key, cfg: Config) -> dict[str, np.ndarray]:
    """Bayes by backprop on y = sin(3 x) + noise, seen for 0.5 < |x| < 1.5 only: predictions in between and beyond."""
    key_data, key_init, key_fit, key_draw = jax.random.split(key, 4)
    x = jnp.concatenate([jnp.linspace(-1.5, -0.5, 40), jnp.linspace(0.5, 1.5, 40)])
    y = jnp.sin(3 * x) + 0.1 * jax.random.normal(key_data, x.shape)
    weights, unravel = ravel_pytree(core_spec.init(mlp.spec((1, cfg.hidden, 1)), key_init))
    predict = lambda w, x: mlp.perceptron(unravel(w), 3 * x[:, None])[:, 0]
    log_joint = lambda w: (
        -jnp.sum(gaussian_nll(y, predict(w, x), jnp.full(len(x), 2 * math.log(0.1))))
        - _prior(w, 1.0)
    )
    q, _ = fit(
        log_joint,
        start(len(weights), "mean_field").replace(mean=weights),
        key_fit,
        cfg.steps,
        cfg.samples,
        cfg.lr,
    )
    at = jnp.linspace(-2.5, 2.5, 201)
    predictions = jax.vmap(lambda w: predict(w, at))(q.sample(key_draw, 400))
    seen = (jnp.abs(at) > 0.5) & (jnp.abs(at) < 1.5)
    made = {
        "x": x,
        "y": y,
        "at": at,
        "mean": jnp.mean(predictions, 0),
        "spread": jnp.std(predictions, 0),
        "seen": seen,
    }
    return {name: np.asarray(value) for name, value in made.items()}


def draw(found: dict[str, Gaussian], draws, curve):
    """Two correlated coefficients, the spreads of all, and the network's predictions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4), layout="constrained")
    pair, spreads, line = figure.subplots(1, 3)
    correlation = np.corrcoef(np.asarray(draws).T) - np.eye(draws.shape[1])
    i, j = np.unravel_index(np.abs(correlation).argmax(), correlation.shape)
    pair.plot(
        draws[::4, i], draws[::4, j], ".", ms=1.5, color="0.7", label="Hamiltonian Monte Carlo"
    )
    t = np.linspace(0, 2 * np.pi, 100)
    exact = np.asarray(jnp.std(draws, 0))
    for color, (family, q) in zip(("C3", "C2"), found.items(), strict=True):
        covariance = np.asarray(q.factor() @ q.factor().T)[np.ix_([i, j], [i, j])]
        ring = 2 * np.linalg.cholesky(covariance) @ np.stack([np.cos(t), np.sin(t)])
        name = family.replace("_", " ")
        pair.plot(
            q.mean[i] + ring[0],
            q.mean[j] + ring[1],
            color=color,
            label=f"{name}, 2 standard deviations",
        )
        spreads.plot(exact, jnp.linalg.norm(q.factor(), axis=1), "o", ms=4, color=color, label=name)
    pair.set(title="two coefficients of the logistic regression")
    spreads.plot([exact.min(), exact.max()], [exact.min(), exact.max()], "--", color="gray")
    spreads.set(
        title="spread of every coefficient", xlabel="Hamiltonian Monte Carlo", ylabel="variational"
    )
    line.plot(curve["x"], curve["y"], "k.", ms=3)
    line.plot(curve["at"], curve["mean"], color="C0")
    line.fill_between(
        curve["at"],
        curve["mean"] - 2 * curve["spread"],
        curve["mean"] + 2 * curve["spread"],
        alpha=0.25,
        label="2 standard deviations",
    )
    line.set(title="Bayesian network", ylim=(-3, 3))
    for ax in figure.axes:
        ax.legend(frameon=False, fontsize=8)
        ax.grid(alpha=0.3)
    return figure
