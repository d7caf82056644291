"""Mutual information of Gaussians by neighbours and by critics, with bias and spread where the truth is known; capacity of channels from both sides.

Command: panorax run theory/information (4 minutes on one core). All estimators are right up to 1 nat in one dimension; with more information, or in more
dimensions, each falls short in its own way.
"""

from panorax.core.claims import Claim
from panorax.theory.information import Config

CLAIMS = (
    Claim("ksg_error", "<", 0.05, "Kraskov et al. 2004: one dimension, up to 2 nats"),
    Claim(
        "infonce_error",
        "<",
        0.05,
        "van den Oord et al. 2018: one dimension, up to 1 nat, far below log batch",
    ),
    Claim("dv_error", "<", 0.05, "Donsker & Varadhan 1983: the same"),
    Claim("mine_error", "<", 0.05, "Belghazi et al. 2018: the same"),
    Claim("nwj_error", "<", 0.05, "Nguyen et al. 2010: the same"),
    Claim(
        "infonce_highest",
        "<=",
        "log_batch",
        "van den Oord et al. 2018: InfoNCE saturates at log batch, here of 8 nats",
    ),
    Claim(
        "ksg_high_dimension_share",
        "<",
        0.5,
        "Gao et al. 2015, arXiv:1411.2003: neighbours miss most of the information in 20 dimensions",
    ),
    Claim(
        "dv_spread_over_infonce",
        ">",
        3.0,
        "Poole et al. 2019, figure 2: at 8 nats in 20 dimensions one batch scatters far more than with InfoNCE",
    ),
    Claim(
        "dv_spread_growth",
        ">",
        3.0,
        "McAllester & Stratos 2020, Song & Ermon 2020: and the more, the more information there is",
    ),
    Claim(
        "capacity_error",
        "<",
        1e-8,
        "Cover & Thomas, section 7.1: symmetric, erasure and Z channels, nats",
    ),
    Claim(
        "capacity_gap", "<=", 1e-9, "Blahut 1972, theorem 2: the bounds meet for random channels"
    ),
)
ORACLE = (
    "Gaussians and channels in closed form; scikit-learn's mutual_info_regression; scipy's "
    "trees and convex optimisation"
)


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        dims=(2,),
        nats=(0.5, 1.0),
        points=30,
        hidden=4,
        batch=4,
        steps=3,
        judged=2,
        seeds=2,
        channels=2,
        letters=3,
    )
