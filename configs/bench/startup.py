"""What is waited for: the command line, the compilation of the main job's language model, and the training loop's own share of a step.

Command: panorax bench bench/startup      about 5 minutes on 2 cores
"""

import dataclasses

from panorax.bench.startup import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim("list_seconds", "<", 1.0, "`panorax list`, a process of its own"),
    Claim(
        "compile_cold_compile_seconds",
        "<=",
        2.0,
        "tracing and compiling the training program of lm/llama, nothing cached",
    ),
    Claim(
        "training_loop_ratio",
        ">=",
        0.97,
        "steps a second of the loop with log and checkpoints against its bare program",
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """For the guard."""
    return dataclasses.replace(get_config(), steps=400, rounds=3)
