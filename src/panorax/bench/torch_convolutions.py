"""The competitor: the same convolutions in PyTorch eager."""

from pathlib import Path

import numpy as np
import torch

from panorax.bench.convolutions import TIMES


def convolution(setting: dict, folder: Path):
    """All channels with all."""
    return _timed("w", folder)


def depthwise(setting: dict, folder: Path):
    """Every channel by itself."""
    return _timed("alone", folder)


def _timed(kernel, folder):
    with np.load(folder / "images.npz") as file:
        x, w = (
            torch.from_numpy(a).permute(order).contiguous()
            for a, order in ((file["x"], (0, 3, 1, 2)), (file[kernel], (3, 2, 0, 1)))
        )
    groups = x.shape[1] if w.shape[1] == 1 else 1

    def run():
        at = (x, w)
        for _ in range(TIMES):
            at = [a.detach().requires_grad_() for a in at]
            (
                0.5 * torch.nn.functional.conv2d(*at, padding=1, groups=groups).square().sum()
            ).backward()
            at = [a.detach() - 1e-3 * a.grad for a in at]
        return at

    facts = {"norms": [float(a.norm()) for a in run()], "version": torch.__version__}

    def work():
        run()
        return TIMES * len(x)

    return facts, work
