"""Start-up time of the command line, compile time of lm/llama, and overhead of the training loop.

Command: panorax bench bench/startup
"""

import dataclasses

from panorax.bench.startup import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "list_seconds",
        "<",
        1.0,
        "Panorax: `panorax list` takes less than a second as a process of its own",
    ),
    Claim(
        "compile_cold_compile_seconds",
        "<=",
        2.0,
        "Panorax: tracing and compiling the training program of lm/llama takes at most 2 s with a"
        " cold cache",
    ),
    Claim(
        "training_loop_ratio",
        ">=",
        0.97,
        "Panorax: the training loop, log and checkpoints included, reaches 97% of the speed of its"
        " compiled program",
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), steps=400, rounds=3)
