"""Training a Llama, tokens a second beside PyTorch eager on the same cores: nanoGPT's CPU size, a larger and a tiny one.

Competitor: the same Llama written as nanoGPT is (`panorax.bench.torch_llama`), torch 2.13.0; its compiler is not used.
Command: panorax bench bench/training      about 6 minutes on 2 cores; needs `pip install 'panorax[bench]'`
"""

from panorax.bench.training import Config, Size
from panorax.core.claims import Claim

SIZES = {
    "nanogpt": Size(n_layers=4, d_model=128, n_heads=4, d_ff=344, context=64, batch=12, steps=60),
    "larger": Size(n_layers=6, d_model=192, n_heads=6, d_ff=512, context=128, batch=32, steps=20),
    "tiny": Size(n_layers=2, d_model=32, n_heads=2, d_ff=88, context=16, batch=4, steps=400),
}
CLAIMS = (
    Claim(
        "nanogpt_panorax_ratio",
        ">=",
        0.9,
        "4 layers, width 128, context 64, batch 12: nanoGPT's size for a CPU",
    ),
    Claim("larger_panorax_ratio", ">=", 0.8, "6 layers, width 192, context 128, batch 32"),
    Claim("tiny_panorax_ratio", ">=", 4, "2 layers, width 32: the size of a test"),
    *(
        Claim(f"{name}_largest_loss_difference", "<", 1e-5, "first five losses of all contenders")
        for name in SIZES
    ),
)


def get_config() -> Config:
    return Config(sizes=tuple(SIZES.items()))


def quick() -> Config:
    """For the guard."""
    return Config(sizes=(("nanogpt", SIZES["nanogpt"]), ("tiny", SIZES["tiny"])), rounds=3)
