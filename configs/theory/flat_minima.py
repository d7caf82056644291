"""Flat minima: small and large batches, warmup and SAM compared at the same training loss.

Command: panorax run theory/flat_minima
Expect: small batches and SAM end flatter, and do not generalise better.
"""

from panorax.core.claims import Claim
from panorax.theory.flat_minima import Config

COURSE = "course notes, volume 0, section 0.13"
LOW = "(lower end of the 95% interval of the paired difference over 5 seeds)"
CLAIMS = (
    Claim(
        "smallest_loss", ">=", 0.015, "Panorax: no run stops far below the target loss of 0.02 nats"
    ),
    Claim(
        "top_eigenvalue_large_over_small_low",
        ">",
        0.0,
        f"{COURSE}: large batches end at a larger Hessian eigenvalue than small batches {LOW}",
    ),
    Claim(
        "sharpness_large_over_small_low",
        ">",
        0.0,
        f"{COURSE}: large batches end in sharper minima than small batches {LOW}",
    ),
    Claim(
        "gap_large_over_small_low",
        ">",
        0.0,
        f"{COURSE}: small batches generalise better than large batches {LOW}",
    ),
    Claim(
        "top_eigenvalue_small_over_small_sam_low",
        ">",
        0.0,
        f"Foret et al. 2021: SAM lowers the largest Hessian eigenvalue {LOW}",
    ),
    Claim(
        "gap_small_over_small_sam_low",
        ">",
        0.0,
        f"Foret et al. 2021: SAM generalises better than SGD {LOW}",
    ),
    Claim(
        "top_eigenvalue_large_over_large_fast_warmup_low",
        ">",
        0.0,
        f"{COURSE}: a larger learning rate with warmup flattens the minima of large batches {LOW}",
    ),
    Claim(
        "gap_large_over_large_fast_warmup_low",
        ">",
        0.0,
        f"{COURSE}: large batches generalise better at a larger learning rate with warmup {LOW}",
    ),
)
ORACLE = "optax's SAM; a bowl of known sharpness; gradient descent step by step"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        seeds=2,
        training=40,
        hidden=(6,),
        small=4,
        large=40,
        target=1.9,
        every=4,
        most_steps=40,
        lanczos_steps=4,
        probes=2,
        warmup=4,
    )
