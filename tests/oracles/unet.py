"""UNet2DModel of diffusers in float64, with all parameters away from their initial values.

Times in [0, 1] are multiplied by 1000.
"""

import json

import numpy as np
import torch
from case import Arrays, named, normal, scales, settings, vjp
from diffusers import UNet2DModel

GROUP = "torch"
PACKAGES = ("torch", "diffusers")
CHANNELS, GROUPS, HEAD_DIM, CLASSES, COLOURS, ROWS, COLUMNS = (4, 8), 2, 4, 4, 2, 4, 6
ARGUMENTS = {
    "sample_size": (ROWS, COLUMNS),
    "in_channels": COLOURS,
    "out_channels": COLOURS,
    "block_out_channels": CHANNELS,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": HEAD_DIM,
    "norm_num_groups": GROUPS,
    "norm_eps": 1e-5,
    "num_class_embeds": CLASSES,
}


def drawn(rng: np.random.RandomState, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) == 1:
        norm = "norm" in name and name.endswith("weight")
        return scales(rng, *shape) if norm else normal(rng, *shape, std=0.2)
    return normal(rng, *shape, std=np.prod(shape[1:]) ** -0.5)


def generate() -> Arrays:
    rng, model = np.random.RandomState(15), UNet2DModel(**ARGUMENTS).double()
    inputs = {name: drawn(rng, name, tuple(w.shape)) for name, w in model.named_parameters()}
    inputs |= {"image": normal(rng, 2, COLOURS, ROWS, COLUMNS)}
    # float32 represents every angle at these times exactly
    time, label = np.array([0.25, 0.625], np.float32), np.array([3, 1])

    def field(image, **w):
        return torch.func.functional_call(
            model, w, (image, 1000 * torch.tensor(time), torch.tensor(label))
        ).sample

    sizes = settings(
        channels=CHANNELS, blocks=1, attention=(False, True), head_dim=HEAD_DIM, groups=GROUPS
    )
    arguments = {"arguments": np.array(json.dumps(ARGUMENTS))}
    return named(
        "diffusers", {**sizes, **arguments, "time": time, "label": label, **vjp(field, inputs, rng)}
    )
