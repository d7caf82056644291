"""The roofline of this machine, what its ceilings come from, and every kernel below it.

Command: panorax run hardware/roofline
On a GPU: add --cases gpu --matrix 8192 --arrays 1024,4096,16384,65536,262144,1048576
"""

from panorax.core.claims import Claim
from panorax.hardware.roofline.study import Config

COURSE = "course notes, volume 6"
CLAIMS = (
    Claim(
        "cache_over_memory",
        ">",
        2.0,
        f"{COURSE}, section 6.2: on-chip memory is faster than main memory, here at least 2 times",
    ),
    Claim(
        "passes_largest_error",
        "<",
        0.02,
        f"{COURSE}, section 6.1: a warp executes 2 - p^32 - (1 - p)^32 branches on average, 2 if "
        "half of the threads branch",
    ),
    Claim(
        "both_branches_over_one",
        ">",
        1.6,
        "Panorax: a vmapped cond computes both branches, also on this machine",
    ),
    Claim(
        "sectors_of_stride_32",
        "==",
        32,
        "CUDA Programming Guide: neighbours share 4 sectors, threads 32 words apart need one each",
    ),
    Claim(
        "bank_passes_largest_error",
        "==",
        0,
        "CUDA Programming Guide: stride s needs gcd(s, 32) passes of shared memory",
    ),
    Claim(
        "littles_law_largest_error",
        "<",
        0.01,
        "Volkov 2016: warps keep a multiprocessor busy as Little's law says",
    ),
    Claim(
        "error_bfloat16_over_float32",
        ">",
        100,
        f"{COURSE}, section 6.3: products of narrow factors need wide sums; with bfloat16 sums the "
        "error at 16,384 elements is at least 100 times larger",
    ),
    Claim("intensity_softmax", "<", "ridge", "Panorax: softmax is limited by memory"),
    Claim(
        "largest_share",
        "<",
        1.1,
        "Williams et al. 2009: no kernel is above the roofline (10% for the error of timings)",
    ),
)
HEADLINE = "largest_share"
ORACLE = "closed forms; enumeration in numpy"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        arrays=(16, 64),
        traffic=1,
        matrix=32,
        lengths=(16, 64),
        products=8,
        warps=50,
        elements=2**10,
        repeats=1,
        cases="small",
    )
