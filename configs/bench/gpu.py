"""Training a Llama of 124M and of 1B parameters on one GPU in bfloat16, beside torch.compile.

Also measures training as a share of the GPU's matrix-product speed. Competitor: the same Llama
(`panorax.bench.torch_llama`) under torch.compile with autocast and fused AdamW, torch 2.13.0.

Command: panorax bench bench/gpu (needs one GPU of 80 GB and `pip install -e .[bench,gpu]`)
"""

from panorax.bench.gpu import Config
from panorax.bench.training import Size
from panorax.core.claims import Claim

SIZES = {
    "124m": Size(
        n_layers=12,
        d_model=768,
        n_heads=12,
        d_ff=2048,
        context=1024,
        batch=16,
        steps=20,
        vocab=50_304,
        dtype="bfloat16",
    ),
    "1b": Size(
        n_layers=16,
        d_model=2048,
        n_heads=16,
        d_ff=8192,
        context=1024,
        batch=8,
        steps=20,
        vocab=50_304,
        dtype="bfloat16",
        remat="products",
    ),
}
TINY = Size(
    n_layers=2, d_model=32, n_heads=2, d_ff=88, context=16, batch=4, steps=20, dtype="bfloat16"
)
CLAIMS = tuple(
    claim
    for name in SIZES
    for claim in (
        Claim(
            f"{name}_share",
            ">=",
            0.45,
            f"Panorax: training size {name} reaches 45% of the same GPU's matrix-product speed",
        ),
        Claim(
            f"{name}_panorax_ratio",
            ">",
            1.0,
            f"Panorax: training size {name} is faster than torch.compile",
        ),
        Claim(
            f"{name}_largest_loss_difference",
            "<",
            0.05,
            f"Panorax: the first five bfloat16 losses at size {name} equal PyTorch's within 0.05",
        ),
    )
)
BACKEND = "gpu"


def get_config() -> Config:
    return Config(sizes=tuple(SIZES.items()))


def quick() -> Config:
    """A tiny size on a CPU, against PyTorch eager."""
    return Config(
        sizes=(("tiny", TINY),), contenders=("panorax", "torch"), matrix=64, backend="cpu", rounds=3
    )
