"""Megatron's tensor parallelism on eight devices: every matrix of a Llama is split.

Paper: Shoeybi et al. 2019 (arXiv:1909.08053).
Command: panorax run distributed/tensor_parallel
On a CPU the eight devices share the cores: counts and values are exact, speed is meaningless.
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
        f"{PAPER}, figure 4: the forward pass of a layer has two all-reduces",
    ),
    Claim(
        "backward_all_reduces_per_layer",
        "==",
        2,
        f"{PAPER}, figure 4: the backward pass of a layer has two all-reduces",
    ),
    Claim(
        "residual_streams_all_reduced_per_layer",
        "==",
        4,
        f"{PAPER}: each all-reduce of a layer sends one array of the size of the residual stream",
    ),
    Claim(
        "forward_all_reduces_outside_layers",
        "==",
        3,
        f"{PAPER}: outside the layers, the embedding and the maximum and sums of the cross entropy "
        "are all-reduced, never the logits",
    ),
    Claim(
        "all_reduces_outside_layers",
        "==",
        4,
        f"{PAPER}: outside the layers, the backward pass adds one all-reduce, at the input of the "
        "output embedding",
    ),
    Claim("other_collectives", "==", 0, f"{PAPER}: all-reduce is the only collective"),
    Claim(
        "largest_share_of_a_matrix",
        "==",
        "one_over_devices",
        f"{PAPER}: every matrix is split over all devices",
    ),
    Claim(
        "smallest_share_of_a_matrix",
        "==",
        "one_over_devices",
        f"{PAPER}: every matrix is split evenly",
    ),
    Claim(
        "share_of_split_activations",
        "==",
        "one_over_devices",
        f"{PAPER}: activations between column-parallel and row-parallel matrices are split evenly",
    ),
    Claim(
        "largest_loss_difference",
        "<",
        1e-5,
        "Panorax: the split model computes the same loss as one device (float32)",
    ),
    Claim(
        "gradient_distance",
        "<",
        1e-5,
        "Panorax: the split model has the same gradient as one device, relative to its norm",
    ),
    Claim(
        "parameter_distance",
        "<",
        1e-3,
        "Panorax: parameters after 20 updates are the same as on one device, relative to "
        "how far they moved",
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
