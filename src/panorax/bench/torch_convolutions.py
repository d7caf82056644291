"""Competitor: the same convolutions in PyTorch eager."""

from pathlib import Path

import numpy as np
import torch

from panorax.bench.convolutions import TIMES


def convolution(setting: dict, folder: Path):
    """Full convolution."""
    return _timed("full", folder)


def depthwise(setting: dict, folder: Path):
    """Depthwise convolution."""
    return _timed("depthwise", folder)


def _timed(kernel, folder):
    with np.load(folder / "images.npz") as file:
        x = torch.from_numpy(file["x"]).permute(0, 3, 1, 2).contiguous()
        w = torch.from_numpy(file[kernel]).permute(3, 2, 0, 1).contiguous()
    groups = x.shape[1] if w.shape[1] == 1 else 1

    def run():
        arrays = (x, w)
        for _ in range(TIMES):
            arrays = [a.detach().requires_grad_() for a in arrays]
            y = torch.nn.functional.conv2d(*arrays, padding=1, groups=groups)
            (0.5 * y.square().sum()).backward()
            arrays = [a.detach() - 1e-3 * a.grad for a in arrays]
        return arrays

    facts = {"norms": [float(a.norm()) for a in run()], "version": torch.__version__}

    def work():
        run()
        return TIMES * len(x)

    return facts, work
