"""Training a Llama beside PyTorch eager on the same cores: nanoGPT's CPU size, larger and tiny.

Competitor: the same Llama in the style of nanoGPT (`panorax.bench.torch_llama`), torch 2.13.0,
without its compiler.

Command: panorax bench bench/training (needs `pip install 'panorax[bench]'`)
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
        "Panorax: nanoGPT's CPU size (4 layers, width 128, context 64, batch 12) trains at 0.9 of"
        " PyTorch's speed",
    ),
    Claim(
        "larger_panorax_ratio",
        ">=",
        0.8,
        "Panorax: 6 layers of width 192, context 128, batch 32 train at 0.8 of PyTorch's speed",
    ),
    Claim(
        "tiny_panorax_ratio",
        ">=",
        4,
        "Panorax: 2 layers of width 32, a test's size, train 4 times as fast as PyTorch",
    ),
    *(
        Claim(
            f"{name}_largest_loss_difference",
            "<",
            1e-5,
            f"Panorax: the first five losses of all contenders at size {name} agree within 1e-5",
        )
        for name in SIZES
    ),
)


def get_config() -> Config:
    return Config(sizes=tuple(SIZES.items()))


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return Config(sizes=(("nanogpt", SIZES["nanogpt"]), ("tiny", SIZES["tiny"])), rounds=3)
