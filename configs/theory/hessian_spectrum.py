"""The Hessian of a network of 100,000 parameters on the digits, at the start, in the middle and at the end of training.

Command: panorax run theory/hessian_spectrum      about 2 minutes on one core
Expect: much negative curvature at first, little at the end; nine eigenvalues that stand out, one less than classes, and all others near zero.
"""

from panorax.core.claims import Claim
from panorax.theory.hessian_spectrum import Config

COURSE = "volume 0, section 0.14"
CLAIMS = (
    Claim(
        "negative_share_start",
        ">",
        "negative_share_end",
        f"{COURSE}: negative eigenvalues belong to the start of training",
    ),
    Claim(
        "negative_share_end",
        "<",
        0.25,
        f"{COURSE}: positive ones dominate at its end (share of the sum of sizes)",
    ),
    Claim(
        "near_zero_end",
        ">",
        0.9,
        "Sagun et al. 2017: nearly all eigenvalues are close to zero, within 1% of the largest",
    ),
    Claim(
        "outliers_end",
        ">=",
        9,
        "Sagun et al. 2017, Papyan 2019: about as many stand out as there are classes, or one less",
    ),
    Claim("outliers_end", "<=", 10, "and no more"),
    Claim(
        "gauss_newton_overlap_end",
        ">",
        0.9,
        "Papyan 2019: they are of the Gauss-Newton part: share of the span of nine eigenvectors in that of its own",
    ),
    Claim("gauss_newton_difference_end", "<", 0.1, "and their eigenvalues are its eigenvalues"),
    Claim(
        "small_kolmogorov",
        "<",
        0.02,
        "the density is that of all eigenvalues: largest difference of the smoothed distribution functions",
    ),
    Claim(
        "small_wasserstein",
        "<",
        0.01,
        "Wasserstein distance as a share of the spread of the spectrum",
    ),
    Claim("small_top_error", "<", 1e-3, "relative error of the ten largest eigenvalues"),
    Claim("small_trace_z", "<", 4, "Hutchinson 1990: the trace, in standard errors"),
    Claim(
        "small_all_error",
        "<",
        1e-9,
        "Golub & Meurant: as many steps as dimensions give every eigenvalue, as a share of the largest",
    ),
)
ORACLE = "scipy's eigsh; all eigenvalues of a small network"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        hidden=(4,),
        small=(1,),
        middle=2,
        steps=4,
        batch=8,
        lanczos=12,
        probes=2,
        small_probes=2,
        largest=11,
    )
