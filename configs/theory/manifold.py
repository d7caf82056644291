"""The manifold hypothesis: intrinsic dimensions, autoencoders with a narrow middle, and the field of a denoiser.

Command: panorax run theory/manifold (about six minutes). Expect two dimensions for the swiss roll, about nine for the digits, and arrows onto the roll.
"""

from panorax.core.claims import Claim
from panorax.theory.manifold.study import Config

COURSE = "volume 0, section 0.3"
CLAIMS = (
    Claim(
        "two_nn_roll",
        ">=",
        1.85,
        "Facco et al. 2017: the swiss roll has 2 dimensions (the edges take a little)",
    ),
    Claim("two_nn_roll", "<=", 2.15, "Facco et al. 2017: the swiss roll has 2 dimensions"),
    Claim(
        "mle_roll",
        ">=",
        1.85,
        "Levina & Bickel 2004: the swiss roll has 2 dimensions (the edges take a little)",
    ),
    Claim("mle_roll", "<=", 2.15, "Levina & Bickel 2004: the swiss roll has 2 dimensions"),
    Claim("mle_sphere_5", ">=", 4.6, "Levina & Bickel 2004: 5 dimensions, biased low"),
    Claim("mle_sphere_5", "<=", 5.2, "Levina & Bickel 2004: 5 dimensions"),
    Claim("two_nn_sphere_10", ">=", 9.0, "Facco et al. 2017: 10 dimensions within a tenth"),
    Claim("two_nn_sphere_10", "<=", 11.0, "Facco et al. 2017: 10 dimensions within a tenth"),
    Claim("two_nn_digits", ">=", 7.0, f"{COURSE}: digits of 64 pixels have about 10 dimensions"),
    Claim("two_nn_digits", "<=", 13.0, f"{COURSE}: digits of 64 pixels have about 10 dimensions"),
    Claim("autoencoder_roll_1", ">=", 0.05, "one coordinate is too few for the roll"),
    Claim(
        "autoencoder_roll_2",
        "<=",
        0.01,
        f"{COURSE}: an autoencoder finds the two coordinates of the roll",
    ),
    Claim(
        "autoencoder_digits_10",
        "<",
        "linear_digits_10",
        "ten numbers of a curved map say more of a digit than ten of a linear one",
    ),
    Claim(
        "circle_points_back",
        ">=",
        0.99,
        f"{COURSE}: the field of a denoiser points to the manifold",
    ),
    Claim("circle_field_error", "<=", 0.1, "Alain & Bengio 2014: it is noise^2 times the score"),
    Claim(
        "roll_points_back", ">=", 0.95, f"{COURSE}: the field of a denoiser points to the manifold"
    ),
    Claim(
        "digits_removed_across",
        ">",
        "digits_removed_along",
        "a denoiser takes away the noise across the manifold, and keeps more of what is along it",
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
