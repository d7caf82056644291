"""The information bottleneck: computed and exact curves, and a variational bottleneck on digits.

Command: panorax run theory/information_bottleneck
Expect: computed and exact curves coincide. Accuracy stays high up to a beta near 1, then collapses.
"""

from panorax.core.claims import Claim
from panorax.theory.information_bottleneck import Config

CLAIMS = (
    Claim(
        "binary_gap",
        "<",
        1e-6,
        "Wyner & Ziv 1973: the self-consistent equations give the exact curve of a binary "
        "symmetric channel (nats)",
    ),
    Claim(
        "gaussian_gap",
        "<",
        0.01,
        "Chechik et al. 2005: the self-consistent equations on a grid give the exact curve of two "
        "Gaussians (nats)",
    ),
    Claim(
        "processing_excess",
        "<",
        1e-9,
        "Cover & Thomas, data processing: I(T; Y) <= I(X; T) and I(T; Y) <= I(X; Y) (nats)",
    ),
    Claim(
        "chord_outside",
        "<",
        1e-6,
        "Tishby et al. 1999: the curve is concave with slope 1/b (nats)",
    ),
    Claim(
        "largest_rise_of_rate",
        "<=",
        0.0,
        "Alemi et al. 2017: the rate falls as beta rises (nats)",
    ),
    Claim(
        "lowest_accuracy_at_small_beta",
        ">=",
        0.95,
        "Alemi et al. 2017: accuracy stays high over three orders of magnitude of beta",
    ),
    Claim(
        "accuracy_at_largest_beta",
        "<",
        0.2,
        "Kolchinsky et al. 2019: above beta = 1 the best code carries no information on the class",
    ),
    Claim(
        "rate_at_largest_beta",
        "<",
        0.01,
        "Kolchinsky et al. 2019: above beta = 1 the best code has rate 0 (nats)",
    ),
    Claim(
        "information_over_rate",
        "<=",
        0.005,
        "Cover & Thomas, data processing: the bound on I(Z; Y) stays below the rate at every beta "
        "(nats, with sampling error)",
    ),
    Claim(
        "best_held_out_information",
        ">",
        "held_out_information_at_smallest_beta",
        "Alemi et al. 2017: compression generalises better than the smallest beta",
    ),
)
ORACLE = "Mrs Gerber's lemma, the Gaussian bottleneck in closed form; scipy's optimiser"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        bins=4,
        points=3,
        iterations=20,
        betas=(1e-3, 1.0),
        latent=2,
        hidden=4,
        steps=3,
        batch=4,
        samples=2,
        seeds=2,
    )
