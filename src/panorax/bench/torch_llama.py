"""Competitor: Llama in PyTorch, written in the style of nanoGPT, eager and compiled.

It uses torch's own attention, norm, SiLU and AdamW, and a GPU if torch sees one. It reads the
weights that `panorax.bench.panorax_llama.write` saved, so both sides start from the same numbers.
"""

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


class Block(nn.Module):
    """x + attention(norm(x)), then x + down(silu(gate(h)) up(h)), h = norm(x)."""

    def __init__(self, size: dict):
        super().__init__()
        D, K = size["d_model"], size["d_model"] // size["n_heads"]
        self.heads, self.kv_heads, self.head_dim = size["n_heads"], size["n_kv_heads"], K
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        self.input_layernorm = nn.RMSNorm(D, eps=1e-5)
        self.post_attention_layernorm = nn.RMSNorm(D, eps=1e-5)
        self.self_attn = nn.ModuleDict(
            {
                "q_proj": linear(D, D),
                "k_proj": linear(D, self.kv_heads * K),
                "v_proj": linear(D, self.kv_heads * K),
                "o_proj": linear(D, D),
            }
        )
        self.mlp = nn.ModuleDict(
            {
                "gate_proj": linear(D, size["d_ff"]),
                "up_proj": linear(D, size["d_ff"]),
                "down_proj": linear(size["d_ff"], D),
            }
        )

    def forward(self, x, cos, sin, cache=None, at=0):
        """The block on tokens x (B, T, D).

        cache: (keys, values), (B, G, S, K) each, written from position `at`; None attends within x.
        """
        B, T, D = x.shape
        h = self.input_layernorm(x)
        heads = lambda name, n: self.self_attn[name](h).view(B, T, n, self.head_dim).transpose(1, 2)
        q, k, v = (
            turned(heads("q_proj", self.heads), cos, sin),
            turned(heads("k_proj", self.kv_heads), cos, sin),
            heads("v_proj", self.kv_heads),
        )
        if cache is not None:
            keys, values = cache
            keys[:, :, at : at + T], values[:, :, at : at + T] = k, v
            k, v = keys[:, :, : at + T], values[:, :, : at + T]
        out = F.scaled_dot_product_attention(
            q, k, v, is_causal=T > 1, enable_gqa=self.heads != self.kv_heads
        )
        x = x + self.self_attn["o_proj"](out.transpose(1, 2).reshape(B, T, D))
        h = self.post_attention_layernorm(x)
        return x + self.mlp["down_proj"](F.silu(self.mlp["gate_proj"](h)) * self.mlp["up_proj"](h))


class Llama(nn.Module):
    """Logits of the next token, with the embedding as output projection."""

    def __init__(self, size: dict):
        super().__init__()
        self.embed_tokens = nn.Embedding(size["vocab"], size["d_model"])
        self.layers = nn.ModuleList(Block(size) for _ in range(size["n_layers"]))
        self.norm = nn.RMSNorm(size["d_model"], eps=1e-5)
        K = size["d_model"] // size["n_heads"]
        angle = torch.outer(
            torch.arange(size["positions"]).float(),
            10_000.0 ** (-torch.arange(0, K, 2).float() / K),
        )
        self.register_buffer("cos", torch.cat([angle.cos()] * 2, -1), persistent=False)
        self.register_buffer("sin", torch.cat([angle.sin()] * 2, -1), persistent=False)

    def forward(self, tokens, caches=None, at=0):
        T = tokens.shape[1]
        cos, sin = self.cos[at : at + T], self.sin[at : at + T]
        x = self.embed_tokens(tokens)
        for i, layer in enumerate(self.layers):
            x = layer(x, cos, sin, caches and caches[i], at)
        return F.linear(self.norm(x), self.embed_tokens.weight)


def turned(x, cos, sin):
    """Rotary embedding of x (..., T, K), with coordinates i and i + K/2 as a pair."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def loaded(size: dict, folder: Path) -> Llama:
    """The model with the weights in `folder`."""
    model = Llama(size)
    named = {
        name.removeprefix("model."): w
        for name, w in load_file(folder / "model" / "model.safetensors").items()
        if name != "lm_head.weight"
    }
    model.load_state_dict(named)
    return model


def eager(size: dict, folder: Path):
    """Training with torch's default AdamW."""
    return _training(size, folder, fused=False)


def fused(size: dict, folder: Path):
    """Training with torch's fused AdamW."""
    return _training(size, folder, fused=True)


def compiled(size: dict, folder: Path):
    """Training with `torch.compile` and torch's fused AdamW."""
    return _training(size, folder, fused=True, compile=True)


def _training(size: dict, folder: Path, fused: bool, compile: bool = False):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = loaded(size, folder).to(device)
    batches = torch.from_numpy(np.load(folder / "batches.npy")).long().to(device)
    adamw = torch.optim.AdamW(
        model.parameters(),
        lr=1e-3,
        betas=(0.9, 0.95),
        eps=1e-8,
        weight_decay=0.0,
        fused=fused or None,
    )
    forward = torch.compile(model) if compile else model

    def step(batch):
        with torch.autocast(device, torch.bfloat16, enabled=size["dtype"] == "bfloat16"):
            logits = forward(batch[:, :-1])
            loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1))
        adamw.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        return loss.item()

    started = time.perf_counter()
    losses = [step(batch) for batch in batches[:5]]
    facts = {
        "losses": losses,
        "compile_seconds": 0.0,
        "first_seconds": time.perf_counter() - started,
        "version": torch.__version__,
    }

    def work():
        for batch in batches:
            step(batch)
        return batches[:, :, 1:].numel()

    return facts, work


def generation(size: dict, folder: Path):
    """Greedy decoding, token by token, with a preallocated cache."""
    model = loaded(size, folder).eval()
    prompts = torch.from_numpy(np.load(folder / "prompts.npy")).long()
    B, T = prompts.shape

    @torch.inference_mode()
    def generate():
        shape = (B, size["n_kv_heads"], T + size["new"], size["d_model"] // size["n_heads"])
        caches = [(torch.zeros(shape), torch.zeros(shape)) for _ in model.layers]
        token, tokens = model(prompts, caches, 0)[:, -1:].argmax(-1), []
        for at in range(T, T + size["new"]):
            tokens.append(token)
            token = model(token, caches, at)[:, -1:].argmax(-1)
        return torch.cat(tokens, 1)

    started = time.perf_counter()
    tokens = generate().tolist()
    facts = {
        "tokens": tokens,
        "first_seconds": time.perf_counter() - started,
        "version": torch.__version__,
    }
    return facts, lambda: generate().numel()
