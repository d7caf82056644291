"""Megatron's tensor parallelism on eight devices: a Llama whose every matrix is split, two all-reduces per layer each way.

Paper: Shoeybi et al. 2019 (arXiv:1909.08053).
Command: panorax run distributed/tensor_parallel      On a CPU the eight devices share its cores: the numbers are those of eight, the speed is not.
"""

from panorax.core.claims import Claim
from panorax.distributed.tensor_parallel import Config
from panorax.nets.decoders.llama import Model

PAPER = "Shoeybi et al. 2019, section 3"
CLAIMS = (
    Claim(
        "forward_all_reduces_per_layer",
        "==",
        2,
        f"{PAPER}, figure 4: two in the forward pass of a layer",
    ),
    Claim(
        "backward_all_reduces_per_layer", "==", 2, f"{PAPER}, figure 4: two in the backward pass"
    ),
    Claim(
        "residual_streams_all_reduced_per_layer",
        "==",
        4,
        f"{PAPER}: each of them of one array the size of the residual stream",
    ),
    Claim(
        "forward_all_reduces_outside_layers",
        "==",
        3,
        f"{PAPER}: embedding; maximum and sums of the cross entropy, never the logits",
    ),
    Claim("all_reduces_outside_layers", "==", 4, "and backward f of the output embedding"),
    Claim("other_collectives", "==", 0, f"{PAPER}: nothing is gathered"),
    Claim("largest_share_of_a_matrix", "==", "one_over_devices", f"{PAPER}: every matrix is split"),
    Claim("smallest_share_of_a_matrix", "==", "one_over_devices", f"{PAPER}: evenly"),
    Claim(
        "share_of_split_activations",
        "==",
        "one_over_devices",
        f"{PAPER}: and so is what lies between column and row",
    ),
    Claim(
        "largest_loss_difference",
        "<",
        1e-5,
        "the same function as llama.loss_fn on one device; float32",
    ),
    Claim("gradient_distance", "<", 1e-5, "its gradient, relative to its norm"),
    Claim(
        "parameter_distance",
        "<",
        1e-3,
        "after 20 updates, relative to how far the parameters moved",
    ),
)
ORACLE = "the loss and its gradient on one device"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        model=Model(vocab=64, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=64),
        devices=2,
        batch=2,
        context=8,
        steps=3,
    )
