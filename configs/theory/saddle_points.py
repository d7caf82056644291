"""Critical points of Gaussian random fields, found and counted by index; descent with and without noise from saddles, one, many, and a network's.

Command: panorax run theory/saddle_points      about 4 minutes on one core
Expect: minima get rare, by a factor of 2 with each of the first dimensions and more later; descent stays on saddles, noise leads out.
"""

from panorax.core.claims import Claim
from panorax.theory.saddle_points.study import Config

COURSE = "volume 0, section 0.11"
CLAIMS = (
    Claim(
        "kac_rice_closed_form_z",
        "<",
        4,
        "Longuet-Higgins 1957, Bardeen et al. 1986: 1/2, 1/4 and (29 - 6 sqrt 6) / 116 are minima, in standard errors",
    ),
    Claim(
        "found_largest_z",
        "<",
        4,
        "the shares found are those of Kac and Rice's formula, in 1 to 5 dimensions",
    ),
    Claim("largest_miscount", "<", 0.1, "and so are the numbers: no critical point was missed"),
    Claim(
        "minima_rate_early",
        ">",
        0.65,
        f"{COURSE}: minima are halved with each dimension, ln 2 = 0.69; of a field true from 1 to 2",
    ),
    Claim(
        "minima_rate_late",
        ">",
        0.6931,
        "Bray & Dean 2007: and faster in many dimensions, since eigenvalues are not independent",
    ),
    Claim("minima_rate_late", "<", 1.0, "Bray & Dean 2007: toward a factor of e with each"),
    Claim(
        "goe_closed_form_z",
        "<",
        4,
        "eigenvalues of GOE all positive: 1/2, (2 - sqrt 2) / 4, 1/4 - 1 / (sqrt 2 pi)",
    ),
    Claim(
        "goe_rate_over_theirs",
        ">",
        0.9,
        "Dean & Majumdar 2006: with no common shift as exp(-(ln 3 / 4) d^2)",
    ),
    Claim("goe_rate_over_theirs", "<", 1.1, "and no faster"),
    Claim(
        "index_value_correlation", ">", 0.5, "Dauphin et al. 2014: the index grows with the value"
    ),
    Claim(
        "energy_largest_z",
        "<",
        4,
        "Bray & Dean 2007: the mean value of each index, in standard errors",
    ),
    Claim("saddle_left_without_noise", "==", 0, "descent from the stable manifold stays on it"),
    Claim(
        "steps_power_of_curvature",
        "<",
        1.5,
        "Jin et al. 2017: steps grow as 1 / curvature, but for logarithms",
    ),
    Claim(
        "steps_growth_with_dimension",
        "<",
        1.5,
        "Jin et al. 2017: and as a power of log d: 10 to 10,000 dimensions",
    ),
    Claim(
        "chain_growth_descent",
        ">",
        1.8,
        "Du et al. 2017: one more saddle doubles the steps of descent, in the mean from 4 to 8",
    ),
    Claim(
        "chain_growth_with_noise",
        "<",
        1.41,
        "and with noise they grow no faster than the square of their number, which is 2^(2/4) a saddle",
    ),
    Claim(
        "factors_wrong_index",
        "==",
        0,
        "the index of every critical point of a factorisation is that of the closed form",
    ),
    Claim(
        "factors_not_strict",
        "==",
        1,
        "Kawaguchi 2016: every one but the global minimum is a strict saddle",
    ),
    Claim(
        "factors_left_over_least",
        "<",
        1.001,
        "from the saddle at 0 noise leads to the global minimum",
    ),
    Claim(
        "zero_accuracy_descent",
        "<",
        0.15,
        f"{COURSE}: from weights zero descent never learns anything",
    ),
    Claim("zero_accuracy_noise", ">", 0.9, "and with a little noise it does"),
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
