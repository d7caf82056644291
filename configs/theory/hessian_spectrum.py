"""The Hessian spectrum of a network with 100,000 parameters during training on the digits.

Command: panorax run theory/hessian_spectrum
Expect: much negative curvature at the start and little at the end. Nine eigenvalues, one fewer than
classes, are outliers; all others are near zero.
"""

from panorax.core.claims import Claim
from panorax.theory.hessian_spectrum import Config

COURSE = "course notes, volume 0, section 0.14"
SAGUN_PAPYAN = "Sagun et al. 2017, Papyan 2019"
CLAIMS = (
    Claim(
        "negative_share_start",
        ">",
        "negative_share_end",
        f"{COURSE}: negative eigenvalues weigh more at the start of training than at the end",
    ),
    Claim(
        "negative_share_end",
        "<",
        0.25,
        f"{COURSE}: positive eigenvalues dominate at the end (negative share of sum |eigenvalue|)",
    ),
    Claim(
        "near_zero_end",
        ">",
        0.9,
        "Sagun et al. 2017: nearly all eigenvalues are below 1% of the largest in absolute value",
    ),
    Claim(
        "outliers_end",
        ">=",
        9,
        f"{SAGUN_PAPYAN}: there are at least as many outliers as classes minus one",
    ),
    Claim(
        "outliers_end",
        "<=",
        10,
        f"{SAGUN_PAPYAN}: there are at most as many outliers as classes",
    ),
    Claim(
        "gauss_newton_overlap_end",
        ">",
        0.9,
        "Papyan 2019: the outliers belong to the Gauss-Newton part (overlap of nine eigenvectors)",
    ),
    Claim(
        "gauss_newton_difference_end",
        "<",
        0.1,
        "Papyan 2019: the outliers have the eigenvalues of the Gauss-Newton part (relative)",
    ),
    Claim(
        "small_kolmogorov",
        "<",
        0.02,
        "Ghorbani et al. 2019: quadrature gives the density of all eigenvalues "
        "(largest difference of smoothed distribution functions)",
    ),
    Claim(
        "small_wasserstein",
        "<",
        0.01,
        "Ghorbani et al. 2019: quadrature gives the density of all eigenvalues "
        "(Wasserstein distance over the range of the spectrum)",
    ),
    Claim(
        "small_top_error",
        "<",
        1e-3,
        "Golub & Meurant 2010: Lanczos gives the ten largest eigenvalues (relative error)",
    ),
    Claim(
        "small_trace_z",
        "<",
        4,
        "Hutchinson 1990: random probes estimate the trace without bias (error in standard errors)",
    ),
    Claim(
        "small_all_error",
        "<",
        1e-9,
        "Golub & Meurant 2010: Lanczos with as many steps as dimensions gives every eigenvalue "
        "(error over the largest)",
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
