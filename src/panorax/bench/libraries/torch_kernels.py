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


def logits_loss(x, w, label, weight):
    """The weighted sum of losses, of all logits at once."""
    return weight @ functional.cross_entropy((x @ w).float(), label.long(), reduction="none")


def linear(x, w, bias=None, residual=None, activation=None):
    """A linear layer, its activation and its residual, one after another; gelu is the tanh form."""
    y = x @ w if bias is None else x @ w + bias
    activation = "gelu_tanh" if activation == "gelu" else activation
    y = y if activation is None else ACTIVATIONS[activation](y)
    return y if residual is None else y + residual


def activated(gate, up, activation="silu"):
    """act(gate) up."""
    return ACTIVATIONS[activation](gate) * up


ACTIVATIONS = {
    "relu": functional.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": functools.partial(functional.gelu, approximate="tanh"),
}
OPERATIONS = {
    "cross_entropy": logits_loss,
    "flash_attention": sdpa,
    "layer_norm": lambda x, scale, bias, eps=1e-6: functional.layer_norm(
        x, x.shape[-1:], scale, bias, eps
    ),
    "matmul": linear,
    "rms_norm": lambda x, scale, eps=1e-6: functional.rms_norm(x, x.shape[-1:], scale, eps),
    "softmax": lambda x: functional.softmax(x, -1),
    "swiglu": activated,
}


def torch_kernel(setting: dict, folder: Path):
    """Results and gradients of one case, eager."""
    operation, case = chosen(setting)
    run = functools.partial(OPERATIONS[setting["operation"]], **case.options)
    arguments = [_tensor(x) for x in proof.drawn(case)]
    given = [arguments[i] for i in operation.differentiable if arguments[i] is not None]
    differentiable = [x.requires_grad_() for x in given if x.is_floating_point()]
    with torch.no_grad():
        shape = run(*arguments)
    cotangent = torch.randn_like(shape) if shape.is_floating_point() else None

    def call():
        y = run(*arguments)
        return torch.autograd.grad(y, differentiable, cotangent) if differentiable else y

    def work():
        call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return 1

    started = time.perf_counter()
    work()
    version = torch.__version__
    if DEVICE == "cuda":
        version += f", cuDNN {torch.backends.cudnn.version()}"
    return {"compile_seconds": time.perf_counter() - started, "version": version}, work


def _tensor(x: jax.Array | None) -> torch.Tensor | None:
    """The array on torch's device, with its dtype."""
    if x is None:
        return None
    array = np.asarray(x.astype("float32") if x.dtype == "bfloat16" else x)
    tensor = torch.from_numpy(array.copy()).to(DEVICE)
    return tensor.bfloat16() if x.dtype == "bfloat16" else tensor
