"""Mutual information of Gaussians by KSG and by neural critics, and channel capacity.

Command: panorax run theory/information
Expect: all estimators are accurate up to 1 nat in one dimension. With more information or in more
dimensions, each fails in its own way.
"""

from panorax.core.claims import Claim
from panorax.theory.information import Config

ONE_NAT = "errs by less than 0.05 nats in one dimension, up to 1 nat"
CLAIMS = (
    Claim(
        "ksg_error",
        "<",
        0.05,
        "Kraskov et al. 2004: KSG errs by less than 0.05 nats in one dimension, up to 2 nats",
    ),
    Claim("infonce_error", "<", 0.05, f"van den Oord et al. 2018: InfoNCE {ONE_NAT}"),
    Claim("dv_error", "<", 0.05, f"Donsker & Varadhan 1983: the Donsker-Varadhan bound {ONE_NAT}"),
    Claim("mine_error", "<", 0.05, f"Belghazi et al. 2018: MINE {ONE_NAT}"),
    Claim("nwj_error", "<", 0.05, f"Nguyen et al. 2010: the NWJ bound {ONE_NAT}"),
    Claim(
        "infonce_highest",
        "<=",
        "log_batch",
        "van den Oord et al. 2018: InfoNCE never exceeds the log of the batch size (true "
        "information up to 8 nats)",
    ),
    Claim(
        "ksg_high_dimension_share",
        "<",
        0.5,
        "Gao et al. 2015, arXiv:1411.2003: KSG finds less than half of 8 nats in 20 dimensions",
    ),
    Claim(
        "dv_spread_over_infonce",
        ">",
        3.0,
        "Poole et al. 2019, figure 2: at 8 nats in 20 dimensions one batch of Donsker-Varadhan "
        "has over 3 times the standard deviation of InfoNCE",
    ),
    Claim(
        "dv_spread_growth",
        ">",
        3.0,
        "McAllester & Stratos 2020, Song & Ermon 2020: the standard deviation of Donsker-Varadhan "
        "grows with the information, more than threefold from 0.5 to 8 nats",
    ),
    Claim(
        "capacity_error",
        "<",
        1e-8,
        "Cover & Thomas, section 7.1: symmetric, erasure and Z channels have the capacities in "
        "closed form (largest error in nats)",
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
