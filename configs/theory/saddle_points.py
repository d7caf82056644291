"""Saddle points: how rare minima are in many dimensions, and how noisy descent leaves saddles.

Command: panorax run theory/saddle_points
Expect: the share of minima halves with each of the first dimensions and falls faster later;
descent stays on saddles, descent with noise leaves them.
"""

from panorax.core.claims import Claim
from panorax.theory.saddle_points.study import Config

COURSE = "course notes, volume 0, section 0.11"
CLAIMS = (
    Claim(
        "kac_rice_closed_form_z",
        "<",
        4,
        "Longuet-Higgins 1957, Bardeen et al. 1986: the shares of minima in 1, 2 and 3 dimensions "
        "are 1/2, 1/4 and (29 - 6 sqrt 6) / 116 (in standard errors)",
    ),
    Claim(
        "found_largest_z",
        "<",
        4,
        "Kac-Rice formula: shares of minima found by Newton's method agree with it in 1 to 5 "
        "dimensions (in standard errors)",
    ),
    Claim(
        "largest_miscount",
        "<",
        0.1,
        "Kac-Rice formula: Newton's method finds as many critical points as it predicts",
    ),
    Claim(
        "minima_rate_early",
        ">",
        0.65,
        f"{COURSE}: the second dimension halves the share of minima (ln 2 = 0.69)",
    ),
    Claim(
        "minima_rate_late",
        ">",
        0.6931,
        "Bray & Dean 2007: in many dimensions each dimension more than halves the share of minima",
    ),
    Claim(
        "minima_rate_late",
        "<",
        1.0,
        "Bray & Dean 2007: the share of minima falls by at most a factor of e with each dimension",
    ),
    Claim(
        "goe_closed_form_z",
        "<",
        4,
        "closed form: all eigenvalues of a GOE matrix are positive with probability 1/2, "
        "(2 - sqrt 2) / 4, 1/4 - 1 / (sqrt 2 pi) in 1, 2, 3 dimensions",
    ),
    Claim(
        "goe_rate_over_theirs",
        ">",
        0.9,
        "Dean & Majumdar 2006: the probability that a GOE matrix is positive definite falls as "
        "exp(-(ln 3 / 4) d^2), no slower",
    ),
    Claim(
        "goe_rate_over_theirs",
        "<",
        1.1,
        "Dean & Majumdar 2006: the probability that a GOE matrix is positive definite falls as "
        "exp(-(ln 3 / 4) d^2), no faster",
    ),
    Claim(
        "index_value_correlation",
        ">",
        0.5,
        "Dauphin et al. 2014: the index of a critical point grows with its value",
    ),
    Claim(
        "energy_largest_z",
        "<",
        4,
        "Bray & Dean 2007: the mean value of the critical points of each index follows the "
        "Kac-Rice formula (in standard errors)",
    ),
    Claim(
        "saddle_left_without_noise",
        "==",
        0,
        "closed form: descent from the stable manifold of a saddle stays on it",
    ),
    Claim(
        "steps_power_of_curvature",
        "<",
        1.5,
        "Jin et al. 2017: steps out of a saddle grow as 1 / curvature, up to logarithms",
    ),
    Claim(
        "steps_growth_with_dimension",
        "<",
        1.5,
        "Jin et al. 2017: steps out of a saddle grow as a power of log d, from 10 to 10,000",
    ),
    Claim(
        "chain_growth_descent",
        ">",
        1.8,
        "Du et al. 2017: each saddle of a chain doubles the steps of descent (mean of 4 to 8)",
    ),
    Claim(
        "chain_growth_with_noise",
        "<",
        1.41,
        "Du et al. 2017: with noise, steps grow at most as the square of the number of saddles, "
        "2^(2/4) per saddle from 4 to 8",
    ),
    Claim(
        "factors_wrong_index",
        "==",
        0,
        "closed form: every critical point of a matrix factorisation has the predicted index",
    ),
    Claim(
        "factors_not_strict",
        "==",
        1,
        "Kawaguchi 2016: every critical point but the global minimum is a strict saddle",
    ),
    Claim(
        "factors_left_over_least",
        "<",
        1.001,
        "Panorax: from the saddle at 0, noisy descent ends in the global minimum",
    ),
    Claim(
        "zero_accuracy_descent",
        "<",
        0.15,
        f"{COURSE}: from weights of 0, descent without noise learns nothing",
    ),
    Claim(
        "zero_accuracy_noise", ">", 0.9, f"{COURSE}: from weights of 0, descent with noise learns"
    ),
)
ORACLE = (
    "closed forms of shares and indices; quadrature of Kac and Rice's formula by scipy; "
    "numpy's eigenvalues"
)


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        searched=2,
        fields=3,
        starts=8,
        features=8,
        counted=3,
        samples=50,
        goe=500,
        goe_batches=2,
        curvatures=(1.0, 0.5),
        dims=(2, 3),
        chain=2,
        hidden=2,
        steps=3,
    )
