"""Small against large batches at the same training loss, with and without a larger rate, warmup and SAM: curvature and generalisation over five seeds.

Command: panorax run theory/flat_minima (about a minute). Expect small batches and SAM to end flatter, and held-out digits that do not care.
"""

from panorax.core.claims import Claim
from panorax.theory.flat_minima import Config

COURSE = "volume 0, section 0.13"
SEEDS = "of the paired difference over 5 seeds, lower end of its 95% interval"
CLAIMS = (
    Claim("largest_loss", "<=", 0.02, "all were stopped at the same training loss"),
    Claim("smallest_loss", ">=", 0.015, "all were stopped at the same training loss"),
    Claim(
        "top_eigenvalue_large_over_small_low",
        ">",
        0.0,
        f"{COURSE}: small batches end flatter at the same rate, {SEEDS}",
    ),
    Claim(
        "sharpness_large_over_small_low",
        ">",
        0.0,
        f"{COURSE}: small batches end flatter at the same rate, {SEEDS}",
    ),
    Claim(
        "gap_large_over_small_low", ">", 0.0, f"{COURSE}: small batches generalise better, {SEEDS}"
    ),
    Claim(
        "top_eigenvalue_small_over_small_sam_low",
        ">",
        0.0,
        f"Foret et al. 2021: SAM ends flatter still, {SEEDS}",
    ),
    Claim(
        "gap_small_over_small_sam_low",
        ">",
        0.0,
        f"Foret et al. 2021: and generalises better, {SEEDS}",
    ),
    Claim(
        "top_eigenvalue_large_over_large_fast_warmup_low",
        ">",
        0.0,
        f"{COURSE}: a large batch needs a larger rate and warmup, {SEEDS}",
    ),
    Claim(
        "gap_large_over_large_fast_warmup_low",
        ">",
        0.0,
        f"{COURSE}: and then it generalises better, {SEEDS}",
    ),
)
ORACLE = "optax's SAM; a bowl whose sharpness is known; steps of gradient descent one by one"


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
