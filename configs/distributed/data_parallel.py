"""Data parallelism on eight devices: one all-reduce per update, copies equal bit for bit.

Paper: Li et al. 2020 (arXiv:2006.15704).
Command: panorax run distributed/data_parallel
On a CPU the eight devices share the cores: counts and values are exact, speed is meaningless.
"""

from panorax.core.claims import Claim
from panorax.distributed.data_parallel import Config
from panorax.nets.decoders.llama import Model

PAPER = "Li et al. 2020, section 3.2"
CLAIMS = (
    Claim(
        "all_reduces_per_update",
        "==",
        1,
        f"{PAPER}.4: accumulated gradients are all-reduced once per update",
    ),
    Claim("other_collectives", "==", 0, f"{PAPER}: devices exchange nothing but gradients"),
    Claim(
        "bytes_all_reduced",
        ">=",
        "bytes_of_parameters",
        f"{PAPER}.1: every gradient is all-reduced",
    ),
    Claim(
        "bytes_all_reduced_beside_gradients",
        "<=",
        4,
        "Panorax: besides each gradient once, only the float32 loss is all-reduced",
    ),
    Claim(
        "bytes_differing_between_devices",
        "==",
        0,
        f"{PAPER}.1: equal initial parameters and equal gradients keep the copies bitwise equal",
    ),
    Claim(
        "largest_loss_difference",
        "<",
        1e-5,
        f"{PAPER}: data parallelism is mathematically the same as one device (float32)",
    ),
    Claim(
        "parameter_distance",
        "<",
        1e-4,
        f"{PAPER}: parameters after 20 updates are the same as on one device (float32), "
        "relative to how far they moved",
    ),
    Claim(
        "parameter_distance_pmap", "<", 1e-4, "Panorax: pmap makes the same updates as shard_map"
    ),
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
