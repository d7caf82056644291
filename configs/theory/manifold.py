"""The manifold hypothesis: intrinsic dimensions, narrow autoencoders, and fields of denoisers.

Command: panorax run theory/manifold
Expect: two dimensions for the swiss roll, about nine for the digits, and arrows onto the roll.
"""

from panorax.core.claims import Claim
from panorax.theory.manifold.study import Config

COURSE = "course notes, volume 0, section 0.3"
CLAIMS = (
    Claim(
        "two_nn_roll",
        ">=",
        1.85,
        "Facco et al. 2017: TwoNN gives the swiss roll 2 dimensions (edges lower the estimate)",
    ),
    Claim("two_nn_roll", "<=", 2.15, "Facco et al. 2017: TwoNN gives the swiss roll 2 dimensions"),
    Claim(
        "mle_roll",
        ">=",
        1.85,
        "Levina & Bickel 2004: the MLE gives the swiss roll 2 dimensions (edges lower it)",
    ),
    Claim(
        "mle_roll", "<=", 2.15, "Levina & Bickel 2004: the MLE gives the swiss roll 2 dimensions"
    ),
    Claim(
        "mle_sphere_5",
        ">=",
        4.6,
        "Levina & Bickel 2004: the MLE gives a 5-sphere 5 dimensions, with a negative bias",
    ),
    Claim("mle_sphere_5", "<=", 5.2, "Levina & Bickel 2004: the MLE gives a 5-sphere 5 dimensions"),
    Claim(
        "two_nn_sphere_10",
        ">=",
        9.0,
        "Facco et al. 2017: TwoNN finds 10 dimensions of a 10-sphere within a tenth",
    ),
    Claim(
        "two_nn_sphere_10",
        "<=",
        11.0,
        "Facco et al. 2017: TwoNN finds 10 dimensions of a 10-sphere within a tenth",
    ),
    Claim("two_nn_digits", ">=", 7.0, f"{COURSE}: digits of 64 pixels have about 10 dimensions"),
    Claim("two_nn_digits", "<=", 13.0, f"{COURSE}: digits of 64 pixels have about 10 dimensions"),
    Claim(
        "autoencoder_roll_1",
        ">=",
        0.05,
        "Panorax: an autoencoder with one code coordinate cannot reconstruct the swiss roll",
    ),
    Claim(
        "autoencoder_roll_2",
        "<=",
        0.01,
        f"{COURSE}: an autoencoder with two code coordinates reconstructs the swiss roll",
    ),
    Claim(
        "autoencoder_digits_10",
        "<",
        "linear_digits_10",
        "Panorax: a nonlinear code of 10 numbers reconstructs digits better than 10 principal "
        "components",
    ),
    Claim(
        "circle_points_back",
        ">=",
        0.99,
        f"{COURSE}: the field of a denoiser of the circle points to the circle",
    ),
    Claim(
        "circle_field_error",
        "<=",
        0.1,
        "Alain & Bengio 2014: the field of a denoiser is the noise variance times the score",
    ),
    Claim(
        "roll_points_back",
        ">=",
        0.95,
        f"{COURSE}: the field of a denoiser of the swiss roll points to the roll",
    ),
    Claim(
        "digits_removed_across",
        ">",
        "digits_removed_along",
        "Panorax: a denoiser removes more of the noise across the manifold than along it",
    ),
)
ORACLE = (
    "spheres; scikit-learn's neighbours and principal components; the exact denoiser of a circle"
)


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        points=80,
        spheres=(1, 2),
        neighbors=(5, 10),
        digit_widths=(1, 2),
        hidden=(8,),
        steps=5,
        roll_steps=5,
        seeds=1,
        batch=8,
    )
