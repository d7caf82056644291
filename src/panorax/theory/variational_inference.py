"""Variational inference with Gaussians beside exact posteriors, Monte Carlo, and on a network.

The Gaussian families and the bound are in `panorax.maths.inference.gaussian_family`. For a
posterior N(mu, P^-1) the best full-rank q is the posterior itself. The best mean-field q has mean
mu and the variances 1 / P_ii, which are too small if coefficients are correlated.

    linear     linear regression (diabetes), whose posterior is known in closed form
    logistic   logistic regression (breast cancer), beside Hamiltonian Monte Carlo
    network    Bayes by backprop on a curve with a gap: a Gaussian for every weight of a network

Source: Blundell et al. 2015 (arXiv:1505.05424); Neal 2011 (arXiv:1206.1901) for
`panorax.maths.inference.hamiltonian`.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.data import datasets
from panorax.maths.inference import hamiltonian, linear_regression
from panorax.maths.inference.gaussian_family import Family, Gaussian, elbo, fit, start
from panorax.nets import mlp
from panorax.ops.losses import binary_cross_entropy, gaussian_nll

FAMILIES: tuple[Family, ...] = get_args(Family)
NOISE = 0.7
"""standard deviation of the noise in the linear regression"""
EVIDENCE_SAMPLES = 32_768
"""samples of the bound that is compared with the evidence (standard error about 0.01 nats)"""
PREDICTIVE_SAMPLES = 2000
"""samples of coefficients behind each held-out prediction"""


@checked
class Config:
    steps: Count = 6000
    """Adam steps on the bound"""
    samples: Count = 16
    """samples of q per gradient"""
    lr: Positive = 0.03
    """first learning rate of Adam, which falls to 0"""
    prior: Positive = 1.0
    """prior standard deviation of the coefficients"""
    chains: Count = 4
    """chains of Hamiltonian Monte Carlo"""
    draws: Count = 2000
    """draws of each chain, after half as many for adaptation"""
    leapfrog: Count = 8
    """leapfrog steps per draw"""
    hidden: Count = 32
    """hidden width of the Bayesian network"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if self.chains < 2 or self.draws < 4:
            raise UserError("chains must be at least 2, draws at least 4")


class LinearFit(NamedTuple):
    """A Gaussian fitted to the posterior of the linear regression."""

    q: Gaussian
    """the approximate posterior"""
    bound: float
    """ELBO of q in nats"""


class Chains(NamedTuple):
    """Posterior draws of Hamiltonian Monte Carlo."""

    draws: Array
    """draws of all chains (draws, D)"""
    accepted: float
    """mean acceptance rate"""
    largest_r_hat: float
    """largest potential scale reduction over the coefficients"""


class Curve(NamedTuple):
    """Predictions of the Bayesian network, and its training points."""

    x: np.ndarray
    """inputs of the training points"""
    y: np.ndarray
    """targets of the training points"""
    at: np.ndarray
    """inputs at which predictions are made"""
    mean: np.ndarray
    """mean prediction at `at`"""
    spread: np.ndarray
    """standard deviation of the prediction at `at`"""


def log_prior(w, scale: float):
    """log N(w; 0, scale^2 I)."""
    return -jnp.sum(gaussian_nll(w, jnp.zeros_like(w), jnp.full_like(w, 2 * math.log(scale))))


def log_gaussian(y, mean, scale: float):
    """log N(y; mean, scale^2 I)."""
    return -jnp.sum(gaussian_nll(y, mean, jnp.full(len(y), 2 * math.log(scale))))


def standard_deviations(q: Gaussian) -> np.ndarray:
    """The standard deviation of each coordinate of q."""
    return np.linalg.norm(np.asarray(q.factor()), axis=1)


def fitted(log_joint: Callable, q: Gaussian, key, cfg: Config) -> Gaussian:
    """q after `cfg.steps` Adam steps up the bound."""
    return fit(log_joint, q, key, cfg.steps, cfg.samples, cfg.lr)[0]


def linear(key, cfg: Config) -> Result:
    """Both families on the linear regression, whose posterior is known."""
    x, y = datasets.diabetes()
    exact = linear_regression.posterior(x, y, NOISE, cfg.prior)
    x, y = jnp.asarray(x), jnp.asarray(y)
    log_joint = lambda w: log_gaussian(y, x @ w, NOISE) + log_prior(w, cfg.prior)
    fits = {}
    for name, key_family in zip(FAMILIES, jax.random.split(key), strict=True):
        key_fit, key_bound = jax.random.split(key_family)
        q = fitted(log_joint, start(x.shape[1], name), key_fit, cfg)
        fits[name] = LinearFit(q, float(elbo(q, key_bound, log_joint, EVIDENCE_SAMPLES)))
    return Result(linear_metrics(exact, fits), {"linear.png": draw_linear(exact, fits)})


def linear_metrics(
    exact: linear_regression.Posterior, fits: dict[Family, LinearFit]
) -> dict[str, float]:
    """Distances from the exact posterior, and from the best member of each family."""
    deviation = np.sqrt(np.diag(np.linalg.inv(exact.precision)))
    best = {"mean_field": np.diag(exact.precision) ** -0.5, "full_rank": deviation}
    mean_gap, spread_gap, over_exact, evidence_gap = {}, {}, {}, {}
    for name, (q, bound) in fits.items():
        spread = standard_deviations(q)
        mean_gap[name] = np.abs((q.mean - exact.mean) / deviation).max()
        spread_gap[name] = np.abs(spread / best[name] - 1).max()
        over_exact[name] = (spread / deviation).min()
        evidence_gap[name] = abs(exact.evidence - bound)
    return {
        **family("linear_mean_gap_{}", mean_gap),
        **family("linear_spread_gap_{}", spread_gap),
        **family("linear_spread_over_exact_{}", over_exact),
        **family("linear_evidence_gap_{}", evidence_gap),
    }


def logistic(key, cfg: Config) -> Result:
    """Both families on the logistic regression, beside Hamiltonian Monte Carlo."""
    key_mean_field, key_full_rank, key_start, key_chain, key_draw = jax.random.split(key, 5)
    x, label, _, _ = (jnp.asarray(part) for part in datasets.breast_cancer())
    log_joint = lambda w: (
        -jnp.sum(binary_cross_entropy(x @ w[:-1] + w[-1], label)) + log_prior(w, cfg.prior)
    )
    fits = {
        name: fitted(log_joint, start(x.shape[1] + 1, name), key, cfg)
        for name, key in {"mean_field": key_mean_field, "full_rank": key_full_rank}.items()
    }
    q = fits["full_rank"]
    starts = q.sample(key_start, cfg.chains)
    draws, accepted = hamiltonian.chains(
        log_joint, starts, q.factor(), key_chain, cfg.draws, cfg.leapfrog
    )
    r_hat = hamiltonian.potential_scale_reduction(draws)
    chains = Chains(draws.reshape(-1, draws.shape[-1]), float(accepted), float(r_hat.max()))
    samples = {name: q.sample(key_draw, PREDICTIVE_SAMPLES) for name, q in fits.items()}
    metrics = logistic_metrics(fits, chains) | held_out_metrics(samples, chains.draws)
    return Result(metrics, {"logistic.png": draw_logistic(fits, chains.draws)})


def logistic_metrics(fits: dict[Family, Gaussian], chains: Chains) -> dict[str, float]:
    """Convergence of the chains, and distances of the fits from the moments of the chains."""
    mean, deviation = jnp.mean(chains.draws, 0), jnp.std(chains.draws, 0)
    gap = {name: jnp.abs((q.mean - mean) / deviation).max() for name, q in fits.items()}
    spread = {name: jnp.median(standard_deviations(q) / deviation) for name, q in fits.items()}
    return {
        "hmc_accepted": chains.accepted,
        "hmc_largest_r_hat": chains.largest_r_hat,
        **family("logistic_mean_gap_{}", gap),
        **family("logistic_spread_over_hmc_{}", spread),
    }


def held_out_metrics(samples: dict[Family, Array], draws: Array) -> dict[str, float]:
    """Held-out log probability of both families, the chains, and the point at the chains' mean."""
    thinned = draws[:: max(1, len(draws) // PREDICTIVE_SAMPLES)]
    predictors = {**samples, "hmc": thinned, "point": jnp.mean(draws, 0)[None]}
    held_out = {name: log_predictive(w) for name, w in predictors.items()}
    return family("logistic_held_out_{}", held_out)


def log_predictive(w_SD) -> Array:
    """Mean log probability, in nats, of held-out labels under the mean prediction of w_SD."""
    data = datasets.breast_cancer()
    x, label = jnp.asarray(data.x_held), jnp.asarray(data.label_held)
    log_p = -jax.vmap(lambda w: binary_cross_entropy(x @ w[:-1] + w[-1], label))(w_SD)
    return jnp.mean(jax.nn.logsumexp(log_p, 0) - math.log(len(w_SD)))


def network(key, cfg: Config) -> Result:
    """Bayes by backprop on sin(3 x) with a gap in the inputs."""
    curve = fitted_curve(key, cfg)
    on_data = (np.abs(curve.at) > 0.5) & (np.abs(curve.at) < 1.5)
    ratio = curve.spread[np.abs(curve.at) < 0.3].mean() / curve.spread[on_data].mean()
    metrics = {"network_spread_in_gap_over_on_data": float(ratio)}
    return Result(metrics, {"network.png": draw_network(curve)})


def fitted_curve(key, cfg: Config) -> Curve:
    """A mean-field Gaussian over the weights of a network, fitted for 0.5 < |x| < 1.5."""
    key_data, key_init, key_fit, key_draw = jax.random.split(key, 4)
    x = jnp.concatenate([jnp.linspace(-1.5, -0.5, 40), jnp.linspace(0.5, 1.5, 40)])
    y = jnp.sin(3 * x) + 0.1 * jax.random.normal(key_data, x.shape)
    weights, unravel = ravel_pytree(core_spec.init(mlp.spec((1, cfg.hidden, 1)), key_init))
    predict = lambda w, x: mlp.perceptron(unravel(w), 3 * x[:, None])[:, 0]
    log_joint = lambda w: log_gaussian(y, predict(w, x), 0.1) + log_prior(w, 1.0)
    q = start(len(weights), "mean_field").replace(mean=weights)
    q = fitted(log_joint, q, key_fit, cfg)
    at = jnp.linspace(-2.5, 2.5, 201)
    predictions = jax.vmap(lambda w: predict(w, at))(q.sample(key_draw, 400))
    curve = Curve(x, y, at, jnp.mean(predictions, 0), jnp.std(predictions, 0))
    return Curve(*map(np.asarray, curve))


def draw_linear(exact: linear_regression.Posterior, fits: dict[Family, LinearFit]):
    """Means and standard deviations of the fits over the exact ones."""
    figure, (means, spreads) = figures.panels(2)
    deviation = np.sqrt(np.diag(np.linalg.inv(exact.precision)))
    for name, (q, _) in fits.items():
        means.plot(exact.mean, q.mean, "o", ms=4, label=name.replace("_", " "))
        spreads.plot(deviation, standard_deviations(q), "o", ms=4, label=name.replace("_", " "))
    for ax, values in ((means, exact.mean), (spreads, deviation)):
        ax.plot(np.sort(values), np.sort(values), "--", color="gray", lw=1, label="equal")
    means.set(title="posterior means")
    spreads.set(title="posterior standard deviations")
    for ax in (means, spreads):
        ax.set(xlabel="exact", ylabel="variational")
    return figures.legends(figure)


def draw_logistic(fits: dict[Family, Gaussian], draws):
    """The two most correlated coefficients, and the standard deviations of all."""
    figure, (pair, spreads) = figures.panels(2)
    draws = np.asarray(draws)
    correlation, deviation = np.corrcoef(draws.T) - np.eye(draws.shape[1]), draws.std(0)
    i, j = np.unravel_index(np.abs(correlation).argmax(), correlation.shape)
    thinned = draws[:: max(1, len(draws) // PREDICTIVE_SAMPLES)]
    pair.plot(thinned[:, i], thinned[:, j], ".", ms=1.5, color="0.7", label="HMC")
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = 2 * np.stack([np.cos(angle), np.sin(angle)])
    for color, (name, q) in zip(figures.COLORS, fits.items()):
        label, covariance = name.replace("_", " "), np.asarray(q.factor() @ q.factor().T)
        ellipse = np.linalg.cholesky(covariance[np.ix_([i, j], [i, j])]) @ circle
        pair.plot(q.mean[i] + ellipse[0], q.mean[j] + ellipse[1], color=color, label=label)
        spreads.plot(deviation, standard_deviations(q), "o", ms=4, color=color, label=label)
    line = np.array([deviation.min(), deviation.max()])
    spreads.plot(line, line, "--", color="gray", lw=1, label="equal")
    pair.set(title="two standard deviations of two coefficients")
    pair.set(xlabel=f"coefficient {i}", ylabel=f"coefficient {j}")
    spreads.set(title="standard deviation of each coefficient", xlabel="HMC", ylabel="variational")
    return figures.legends(figure)


def draw_network(curve: Curve):
    """Training points, and the predictions with two standard deviations."""
    figure, (ax,) = figures.panels()
    low, high = curve.mean - 2 * curve.spread, curve.mean + 2 * curve.spread
    ax.fill_between(curve.at, low, high, alpha=0.25, label="2 standard deviations")
    ax.plot(curve.at, curve.mean, label="mean prediction")
    ax.plot(curve.x, curve.y, "k.", ms=3, label="training points")
    ax.set(title="Bayesian network", xlabel="x", ylabel="y", ylim=(-3, 3))
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """Linear regression, logistic regression, and a Bayesian network."""
    return {
        "linear": functools.partial(linear, cfg=cfg),
        "logistic": functools.partial(logistic, cfg=cfg),
        "network": functools.partial(network, cfg=cfg),
    }
