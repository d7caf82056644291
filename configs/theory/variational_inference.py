"""Variational inference with Gaussians beside an exact posterior, HMC, and on a Bayesian network.

Command: panorax run theory/variational_inference      about 20 seconds on one core
"""

from panorax.core.claims import Claim
from panorax.theory.variational_inference import Config

CLAIMS = (
    Claim(
        "linear_mean_gap_full_rank",
        "<",
        0.05,
        "Bishop 2006, section 3.3: full rank finds the posterior mean of linear regression "
        "(in posterior standard deviations)",
    ),
    Claim(
        "linear_spread_gap_full_rank",
        "<",
        0.05,
        "Bishop 2006, section 3.3: full rank finds the posterior standard deviations of linear "
        "regression (relative)",
    ),
    Claim(
        "linear_evidence_gap_full_rank",
        "<",
        0.05,
        "volume 0, section 0.7: the ELBO of the posterior itself is log p(x) (nats)",
    ),
    Claim(
        "linear_spread_gap_mean_field",
        "<",
        0.05,
        "Bishop 2006, section 10.1.2: the mean field finds the variances 1 / P_ii of linear "
        "regression (relative, of standard deviations)",
    ),
    Claim(
        "linear_spread_over_exact_mean_field",
        "<",
        0.5,
        "Bishop 2006, section 10.1.2: the mean field underestimates the spread of correlated "
        "coefficients",
    ),
    Claim(
        "hmc_largest_r_hat",
        "<",
        1.01,
        "Gelman & Rubin 1992: chains that converged have R-hat near 1",
    ),
    Claim(
        "logistic_mean_gap_full_rank",
        "<",
        0.5,
        "this study: on logistic regression full rank finds the posterior mean of HMC "
        "(in its standard deviations)",
    ),
    Claim(
        "logistic_spread_over_hmc_full_rank",
        ">",
        0.9,
        "this study: on logistic regression full rank finds the posterior standard deviations of "
        "HMC (median ratio)",
    ),
    Claim(
        "logistic_spread_over_hmc_mean_field",
        "<",
        "logistic_spread_over_hmc_full_rank",
        "Bishop 2006, section 10.1.2: the mean field has a smaller spread than full rank "
        "(logistic regression)",
    ),
    Claim(
        "network_spread_in_gap_over_on_data",
        ">",
        1.5,
        "Blundell et al. 2015: a Bayesian network is less certain between the training inputs",
    ),
)
ORACLE = "the posterior of linear regression in closed form; scipy's Gaussians"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(steps=3, samples=2, draws=4, leapfrog=2, hidden=4)
