"""Data parallelism on eight devices: one all-reduce per update, however many micro-batches, and equal copies bit for bit.

Paper: Li et al. 2020 (arXiv:2006.15704).
Command: panorax run distributed/data_parallel      On a CPU the eight devices share its cores: the numbers are those of eight, the speed is not.
"""

from panorax.core.claims import Claim
from panorax.distributed.data_parallel import Config
from panorax.nets.decoders.llama import Model

PAPER = "Li et al. 2020, section 3.2"
CLAIMS = (
    Claim(
        "all_reduces_per_update", "==", 1, f"{PAPER}.4: accumulated gradients are synchronised once"
    ),
    Claim("other_collectives", "==", 0, f"{PAPER}: gradients are all that is exchanged"),
    Claim(
        "bytes_all_reduced",
        ">=",
        "bytes_of_parameters",
        f"{PAPER}.1: every gradient is all-reduced",
    ),
    Claim("bytes_all_reduced_beside_gradients", "<=", 4, "once, and with it the loss, one float32"),
    Claim(
        "bytes_differing_between_devices",
        "==",
        0,
        f"{PAPER}.1: the same start and the same gradients keep the copies equal",
    ),
    Claim(
        "largest_loss_difference",
        "<",
        1e-5,
        f"{PAPER}: mathematically the same as one device; float32",
    ),
    Claim(
        "parameter_distance",
        "<",
        1e-4,
        "after 20 updates, relative to how far the parameters moved; float32",
    ),
    Claim("parameter_distance_pmap", "<", 1e-4, "pmap makes the same updates"),
)
ORACLE = "the same updates on one device; optax.adam on the gradient of the whole batch"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        model=Model(vocab=64, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=64),
        devices=2,
        accumulate=2,
        batch=8,
        context=8,
        steps=3,
    )
