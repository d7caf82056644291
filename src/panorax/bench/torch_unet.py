"""Competitor: diffusers' `UNet2DModel` in PyTorch eager, trained and sampled as its users do."""

from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel

from panorax.bench.flow import HEUN_STEPS, config
from panorax.interop import diffusers_unet


def loaded(setting: dict, folder: Path) -> UNet2DModel:
    """The network with the weights in `folder`."""
    cfg = config(setting)
    model = UNet2DModel(**diffusers_unet.arguments(cfg.net, cfg.data.shape, cfg.data.classes + 1))
    with np.load(folder / "weights.npz") as file:
        model.load_state_dict({name: torch.from_numpy(x) for name, x in file.items()})
    return model


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    """The arrays of a file; images (names starting with x) are channels first, labels int64."""
    with np.load(path) as file:
        tensors = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in file.items()}
    images = {name for name in tensors if name.startswith("x")}
    tensors |= {name: tensors[name].movedim(-1, -3).contiguous() for name in images}
    return tensors | {"label": tensors["label"].long()}


def training(setting: dict, folder: Path):
    """Training by AdamW with gradient clipping and averaged parameters."""
    model, data = loaded(setting, folder), _arrays(folder / "batches.npz")
    parameters = list(model.parameters())
    adamw = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    ema, done = [p.detach().clone() for p in parameters], 0

    def step(i):
        nonlocal done
        x1, x0, t, label = (data[name][i] for name in ("x1", "x0", "t", "label"))
        time = t[:, None, None, None]
        velocity = model((1 - time) * x0 + time * x1, 1000 * t, label).sample
        loss = (velocity - (x1 - x0)).square().mean()
        adamw.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adamw.step()
        torch._foreach_lerp_(
            ema, [p.detach() for p in parameters], 1 - min(0.999, (1 + done) / (10 + done))
        )
        done += 1
        return loss.item()

    facts = {"losses": [step(i) for i in range(5)], "version": torch.__version__}

    def work():
        for i in range(setting["steps"]):
            step(i)
        return setting["steps"] * setting["batch"]

    return facts, work


def sampling(setting: dict, folder: Path):
    """Sampling by `HEUN_STEPS` steps of Heun's method."""
    model, data = loaded(setting, folder).eval(), _arrays(folder / "noise.npz")
    label, h = data["label"], 1 / HEUN_STEPS

    @torch.inference_mode()
    def draw():
        x, field = data["x0"], lambda t, x: model(x, 1000 * torch.full((len(x),), t), label).sample
        for i in range(HEUN_STEPS):
            slope = field(i * h, x)
            x = x + h / 2 * (slope + field((i + 1) * h, x + h * slope))
        return x

    facts = {"pixels": draw().movedim(1, -1).flatten().tolist(), "version": torch.__version__}

    def work():
        for _ in range(3):
            draw()
        return 3 * len(label)

    return facts, work
