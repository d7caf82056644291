"""Competitor: the same operations in PyTorch, with the fastest kernel that it has."""

import contextlib
import functools
import time
from pathlib import Path

import jax
import numpy as np
import torch
from torch.nn import attention, functional

from pallas_kernels import proof
from panorax.bench.kernels import chosen

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def sdpa(q_BTHK, k_BSGK, v_BSGK, causal=False, **options):
    """`scaled_dot_product_attention`, on a GPU with the kernel of cuDNN."""
    if options:
        raise ValueError(f"not compared with {options}")
    heads_first = (x.transpose(1, 2) for x in (q_BTHK, k_BSGK, v_BSGK))
    on_gpu = attention.sdpa_kernel(attention.SDPBackend.CUDNN_ATTENTION)
    with on_gpu if DEVICE == "cuda" else contextlib.nullcontext():
        out = functional.scaled_dot_product_attention(
            *heads_first, is_causal=causal, enable_gqa=True
        )
    return out.transpose(1, 2)


def logits_loss(x, w, label):
    """The loss of all logits at once."""
    return functional.cross_entropy((x @ w).float(), label.long(), reduction="none")


OPERATIONS = {
    "cross_entropy": logits_loss,
    "flash_attention": sdpa,
    "layer_norm": lambda x, scale, bias, eps: functional.layer_norm(
        x, x.shape[-1:], scale, bias, eps
    ),
    "matmul": torch.matmul,
    "rms_norm": lambda x, scale, eps: functional.rms_norm(x, x.shape[-1:], scale, eps),
    "softmax": lambda x: functional.softmax(x, -1),
    "swiglu": lambda gate, up: functional.silu(gate) * up,
}


def torch_kernel(setting: dict, folder: Path):
    """Results and gradients of one case, eager."""
    operation, case = chosen(setting)
    run = functools.partial(OPERATIONS[setting["operation"]], **case.options)
    arguments = [_tensor(x) for x in proof.drawn(case)]
    differentiable = [arguments[i].requires_grad_() for i in operation.differentiable]

    def call():
        y = run(*arguments)
        return torch.autograd.grad(y, differentiable, torch.ones_like(y))

    def work():
        call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return 1

    started = time.perf_counter()
    work()
    return {"compile_seconds": time.perf_counter() - started, "version": torch.__version__}, work


def _tensor(x: jax.Array) -> torch.Tensor:
    """The array on torch's device, with its dtype."""
    array = np.asarray(x.astype("float32") if x.dtype == "bfloat16" else x)
    tensor = torch.from_numpy(array.copy()).to(DEVICE)
    return tensor.bfloat16() if x.dtype == "bfloat16" else tensor
