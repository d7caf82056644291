"""Variational inference with Gaussians: a posterior that is known, one that a long Markov chain finds, and a network that knows what it has not seen.

Command: panorax run theory/variational_inference
"""

from panorax.core.claims import Claim
from panorax.theory.variational_inference import Config

CLAIMS = (
    Claim(
        "linear_mean_gap_full_rank",
        "<",
        0.05,
        "linear regression: the posterior mean, in posterior standard deviations",
    ),
    Claim("linear_spread_gap_full_rank", "<", 0.05, "and its standard deviations, relative"),
    Claim(
        "linear_evidence_gap_full_rank",
        "<",
        0.05,
        "volume 0, section 0.7: at q = posterior the bound is log p(x), in nats",
    ),
    Claim(
        "linear_spread_gap_mean_field",
        "<",
        0.05,
        "the mean field's variances are 1 / P_ii, relative",
    ),
    Claim(
        "linear_spread_over_exact_mean_field",
        "<",
        0.5,
        "too small where coefficients are correlated",
    ),
    Claim("hmc_largest_r_hat", "<", 1.01, "the chains agree"),
    Claim(
        "logistic_mean_gap_full_rank",
        "<",
        0.5,
        "logistic regression: mean of the chain, in its standard deviations",
    ),
    Claim(
        "logistic_spread_over_hmc_full_rank", ">", 0.9, "and its spread, median over coefficients"
    ),
    Claim(
        "logistic_spread_over_hmc_mean_field",
        "<",
        "logistic_spread_over_hmc_full_rank",
        "the mean field's is smaller",
    ),
    Claim(
        "network_spread_in_gap_over_on_data",
        ">",
        1.5,
        "Blundell et al. 2015: a Bayesian network is less sure where it has seen nothing",
    ),
)
ORACLE = "the posterior of linear regression in closed form; scipy's Gaussians"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(steps=3, samples=2, draws=4, leapfrog=2, hidden=4)
