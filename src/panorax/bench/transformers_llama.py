"""Competitor: generation by `transformers`, as its users call it."""

import time
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import LlamaForCausalLM


def generation(size: dict, folder: Path):
    """Greedy `generate` of `new` tokens with the default cache."""
    model = LlamaForCausalLM.from_pretrained(folder / "model").eval()
    prompts = torch.from_numpy(np.load(folder / "prompts.npy")).long()

    @torch.inference_mode()
    def generate():
        out = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=size["new"],
            do_sample=False,
            eos_token_id=None,
        )
        return out[:, prompts.shape[1] :]

    started = time.perf_counter()
    tokens = generate().tolist()
    facts = {
        "tokens": tokens,
        "first_seconds": time.perf_counter() - started,
        "version": transformers.__version__,
    }
    return facts, lambda: generate().numel()
