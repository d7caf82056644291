"""ZeRO on eight devices: memory of the four stages beside the paper's formulas.

Paper: Rajbhandari et al. 2020 (arXiv:1910.02054).
Command: panorax run distributed/zero
On a CPU the eight devices share the cores: counts and values are exact, speed is meaningless.
"""

from panorax.core.claims import Claim
from panorax.distributed.zero import STAGES, Config
from panorax.nets.decoders.llama import Model

PAPER = "Rajbhandari et al. 2020"
LAYERS = 4
# one row per stage: all-reduces (loss included), reduce-scatters, all-gathers
EXCHANGES = (
    (1, 0, 0),
    (1, 0, 2),
    (1, 2, 2),
    (1, LAYERS + 1, 2 * LAYERS + 1),
)
SENT = (2, 3, 2, 3)
CLAIMS = (
    *(
        Claim(
            f"bytes_per_parameter_stage{s}",
            ">=",
            f"formula_stage{s}",
            f"{PAPER}, section 5: bytes per parameter of stage {s} are at least the formula",
        )
        for s in STAGES
    ),
    *(
        Claim(
            f"excess_stage{s}",
            "<",
            "padding_bound",
            f"Panorax: bytes of stage {s} exceed the formula only by the padding of rows",
        )
        for s in STAGES
    ),
    *(
        Claim(
            f"{kind}_stage{s}",
            "==",
            n,
            f"{PAPER}, section 7.2: {kind.replace('_', '-')} in a step of stage {s} number {n}",
        )
        for s in STAGES
        for kind, n in zip(("all_reduces", "reduce_scatters", "all_gathers"), EXCHANGES[s])
    ),
    *(
        Claim(
            f"sent_per_parameter_stage{s}",
            "<",
            SENT[s] + 0.001,
            f"{PAPER}, section 7.2: stage {s} sends at most {SENT[s]} numbers per parameter"
            + (", here with an all-reduce instead of a reduce-scatter" if s == 1 else ""),
        )
        for s in STAGES
    ),
    Claim(
        "largest_distance_between_stages",
        "==",
        0,
        "Panorax: all stages add the same numbers in the same order; parameters after 20 updates "
        "are bitwise equal",
    ),
    Claim(
        "largest_loss_difference",
        "<",
        0.01,
        "Panorax: losses are the same as on one device, in nats per token (20 steps, bfloat16)",
    ),
    Claim(
        "largest_gradient_distance",
        "<",
        0.02,
        "Panorax: the gradient is the same as on one device, relative to its norm "
        "(bfloat16 rounds to 1 part in 256)",
    ),
    Claim(
        "largest_parameter_distance",
        "<",
        0.05,
        "Panorax: parameters after 20 updates are the same as on one device, relative to "
        "how far they moved (bfloat16)",
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
    """Three devices; no row length is a multiple of 3."""
    model = Model(
        vocab=64, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=65, dtype="bfloat16"
    )
    return Config(model=model, devices=3, batch=3, context=8, steps=3)
