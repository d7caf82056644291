"""ZeRO on eight devices: bytes per parameter of the four stages, measured beside the paper's formulas, and the same training in each.

Paper: Rajbhandari et al. 2020 (arXiv:1910.02054).
Command: panorax run distributed/zero      On a CPU the eight devices share its cores: the numbers are those of eight, the speed is not.
"""

from panorax.core.claims import Claim
from panorax.distributed.zero import STAGES, Config
from panorax.nets.decoders.llama import Model

PAPER = "Rajbhandari et al. 2020"
LAYERS = 4
EXCHANGES = (  # a row a stage: all-reduces, reduce-scatters, all-gathers; the all-reduce of the loss is merged with that of the gradients
    (1, 0, 0),
    (1, 0, 2),
    (1, 2, 2),
    (1, LAYERS + 1, 2 * LAYERS + 1),
)
SENT = (2, 3, 2, 3)
CLAIMS = (
    *(
        Claim(f"bytes_per_parameter_stage{s}", ">=", f"formula_stage{s}", f"{PAPER}, section 5")
        for s in STAGES
    ),
    *(
        Claim(
            f"excess_stage{s}",
            "<",
            "padding_bound",
            "zeros at the ends of rows are all that is added to the formula",
        )
        for s in STAGES
    ),
    *(
        Claim(f"{kind}_stage{s}", "==", n, f"{PAPER}, section 7.2: what stage {s} exchanges")
        for s in STAGES
        for kind, n in zip(("all_reduces", "reduce_scatters", "all_gathers"), EXCHANGES[s])
    ),
    *(
        Claim(
            f"sent_per_parameter_stage{s}",
            "<",
            SENT[s] + 0.001,
            f"{PAPER}, section 7.2; in stage 1 the all-reduce is whole",
        )
        for s in STAGES
    ),
    Claim(
        "largest_distance_between_stages",
        "==",
        0,
        "all stages add the same numbers in the same order: parameters after 20 steps agree bit for bit",
    ),
    Claim(
        "largest_loss_difference",
        "<",
        0.01,
        "the same training as on one device, in bfloat16: nats per token, 20 steps",
    ),
    Claim(
        "largest_gradient_distance",
        "<",
        0.02,
        "relative to the gradient's norm; bfloat16 rounds to 1 part in 256",
    ),
    Claim(
        "largest_parameter_distance",
        "<",
        0.05,
        "after 20 steps, relative to how far the parameters moved",
    ),
)
ORACLE = "the loss, its gradient and optax.adam on one device; the paper's bytes per parameter"


def get_config() -> Config:
    model = Model(
        vocab=1024,
        d_model=128,
        n_layers=LAYERS,
        n_heads=4,
        n_kv_heads=2,
        d_ff=384,
        dtype="bfloat16",
    )
    return Config(model=model, devices=8, batch=8, context=32, steps=20)


def smoke() -> Config:
    """Three devices, which divide none of the rows."""
    model = Model(
        vocab=64, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=65, dtype="bfloat16"
    )
    return Config(model=model, devices=3, batch=3, context=8, steps=3)
