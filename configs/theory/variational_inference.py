"""Gaussian variational inference beside an exact posterior and HMC, and on a Bayesian network.

Command: panorax run theory/variational_inference
"""

from panorax.core.claims import Claim
from panorax.theory.variational_inference import Config

CLAIMS = (
    Claim(
        "linear_mean_gap_full_rank",
        "<",
        0.05,
        "Bishop 2006, section 3.3: a full-rank q finds the posterior mean of linear regression "
        "(in posterior standard deviations)",
    ),
    Claim(
        "linear_spread_gap_full_rank",
        "<",
        0.05,
        "Bishop 2006, section 3.3: a full-rank q finds the posterior standard deviations of linear "
        "regression (relative gap)",
    ),
    Claim(
        "linear_evidence_gap_full_rank",
        "<",
        0.05,
        "course notes, volume 0, section 0.7: the ELBO of the posterior itself is log p(x) (nats)",
    ),
    Claim(
        "linear_spread_gap_mean_field",
        "<",
        0.05,
        "Bishop 2006, section 10.1.2: a mean-field q finds the variances 1 / P_ii of linear "
        "regression (relative gap of standard deviations)",
    ),
    Claim(
        "linear_spread_over_exact_mean_field",
        "<",
        0.5,
        "Bishop 2006, section 10.1.2: a mean-field q underestimates the standard deviations of "
        "correlated coefficients",
    ),
    Claim(
        "hmc_largest_r_hat",
        "<",
        1.01,
        "Gelman & Rubin 1992: converged chains have R-hat near 1",
    ),
    Claim(
        "logistic_mean_gap_full_rank",
        "<",
        0.5,
        "Panorax: on logistic regression a full-rank q finds HMC's posterior mean "
        "(in HMC's standard deviations)",
    ),
    Claim(
        "logistic_spread_over_hmc_full_rank",
        ">",
        0.9,
        "Panorax: on logistic regression a full-rank q finds HMC's posterior standard deviations "
        "(median ratio)",
    ),
    Claim(
        "logistic_spread_over_hmc_mean_field",
        "<",
        "logistic_spread_over_hmc_full_rank",
        "Bishop 2006, section 10.1.2: on logistic regression a mean-field q has smaller standard "
        "deviations than a full-rank q",
    ),
    Claim(
        "network_spread_in_gap_over_on_data",
        ">",
        1.5,
        "Blundell et al. 2015: a Bayesian neural network is less certain in a gap between its "
        "training inputs",
    ),
)
ORACLE = "the posterior of linear regression in closed form; scipy's Gaussians"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(steps=3, samples=2, draws=4, leapfrog=2, hidden=4)
