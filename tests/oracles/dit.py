"""The Diffusion Transformer in torch: strided convolution, torch attention, diffusers sinusoids.

Parameters have the names and layouts of the paper's published code. Times in [0, 1] are multiplied
by 1000. Attention, feed-forward and modulation layers have no biases.
"""

import numpy as np
import torch
from case import Arrays, named, normal, settings, vjp
from diffusers.models.embeddings import get_timestep_embedding
from torch.nn.functional import conv2d, gelu, layer_norm, linear, scaled_dot_product_attention, silu

GROUP = "torch"
PACKAGES = ("torch", "diffusers")
PATCH, WIDTH, HEADS, HIDDEN, LAYERS, CLASSES, CHANNELS, ROWS, COLUMNS = 2, 8, 2, 12, 2, 4, 3, 2, 3
BLOCK = {
    "attn.qkv": (3 * WIDTH, WIDTH),
    "attn.proj": (WIDTH, WIDTH),
    "adaLN_modulation.1": (6 * WIDTH, WIDTH),
    "mlp.fc1": (HIDDEN, WIDTH),
    "mlp.fc2": (WIDTH, HIDDEN),
}


def weight_shapes() -> dict[str, tuple[int, ...]]:
    pixels = PATCH**2 * CHANNELS
    shapes = {
        "x_embedder.proj.weight": (WIDTH, CHANNELS, PATCH, PATCH),
        "x_embedder.proj.bias": (WIDTH,),
        "y_embedder.embedding_table.weight": (CLASSES, WIDTH),
        "final_layer.adaLN_modulation.1.weight": (2 * WIDTH, WIDTH),
        "final_layer.linear.weight": (pixels, WIDTH),
        "final_layer.linear.bias": (pixels,),
    }
    for layer in (0, 2):
        shapes |= {
            f"t_embedder.mlp.{layer}.weight": (WIDTH, WIDTH),
            f"t_embedder.mlp.{layer}.bias": (WIDTH,),
        }
    for l in range(LAYERS):
        shapes |= {f"blocks.{l}.{name}.weight": shape for name, shape in BLOCK.items()}
    return shapes


def sinusoids(x: torch.Tensor, width: int) -> torch.Tensor:
    return get_timestep_embedding(
        x.float(), width, flip_sin_to_cos=True, downscale_freq_shift=0
    ).double()


def modulated(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return layer_norm(x, (WIDTH,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


def self_attention(x: torch.Tensor, qkv: torch.Tensor, proj: torch.Tensor) -> torch.Tensor:
    q, k, v = linear(x, qkv).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
    return linear(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2), proj)


def block(x: torch.Tensor, c: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    modulation = linear(c, w["adaLN_modulation.1"])
    shift, scale, gate, shift_ff, scale_ff, gate_ff = modulation.chunk(6, -1)
    attended = self_attention(modulated(x, shift, scale), w["attn.qkv"], w["attn.proj"])
    x = x + gate[:, None] * attended
    hidden = linear(modulated(x, shift_ff, scale_ff), w["mlp.fc1"])
    return x + gate_ff[:, None] * linear(gelu(hidden, approximate="tanh"), w["mlp.fc2"])


def dit(
    image: torch.Tensor, time: np.ndarray, label: np.ndarray, w: dict[str, torch.Tensor]
) -> torch.Tensor:
    layer = lambda name, x: linear(x, w[f"{name}.weight"], w[f"{name}.bias"])
    x = conv2d(image, w["x_embedder.proj.weight"], w["x_embedder.proj.bias"], stride=PATCH)
    x = x.flatten(2).transpose(1, 2)
    row, column = torch.arange(ROWS * COLUMNS) // COLUMNS, torch.arange(ROWS * COLUMNS) % COLUMNS
    x = x + torch.cat([sinusoids(row, WIDTH // 2), sinusoids(column, WIDTH // 2)], -1)[None]
    c = layer("t_embedder.mlp.0", sinusoids(1000 * torch.tensor(time), WIDTH))
    c = layer("t_embedder.mlp.2", silu(c))
    c = silu(c + w["y_embedder.embedding_table.weight"][torch.tensor(label)])
    for l in range(LAYERS):
        x = block(x, c, {name: w[f"blocks.{l}.{name}.weight"] for name in BLOCK})
    shift, scale = linear(c, w["final_layer.adaLN_modulation.1.weight"]).chunk(2, -1)
    x = layer("final_layer.linear", modulated(x, shift, scale))
    x = x.unflatten(-1, (PATCH, PATCH, CHANNELS)).unflatten(1, (ROWS, COLUMNS))
    return torch.einsum("nhwpqc->nchpwq", x).reshape(image.shape)


def generate() -> Arrays:
    rng = np.random.RandomState(14)
    inputs = {name: normal(rng, *shape, std=0.4) for name, shape in weight_shapes().items()}
    inputs |= {"image": normal(rng, 3, CHANNELS, ROWS * PATCH, COLUMNS * PATCH)}
    # float32 represents every angle at these times exactly
    time, label = np.array([0.0, 0.25, 0.625], np.float32), np.array([3, 0, 1])
    field = vjp(lambda image, **w: dit(image, time, label, w), inputs, rng)
    sizes = settings(patch=PATCH, d_model=WIDTH, n_layers=LAYERS, n_heads=HEADS, d_ff=HIDDEN)
    return named("adaln_zero", {**sizes, "time": time, "label": label, **field})
