"""Decoder families of transformers: config.json, logits, loss and gradients at random weights.

Sequences are longer than the windows and than the original contexts of stretched rotary embeddings.
All parameters are drawn, biases and norms too. Weights are multiples of 1/16, which compress well.
"""

import numpy as np
import torch
import transformers
from case import LLAMA, Arrays, named, normal
from torch.nn.functional import cross_entropy

GROUP = "torch"
PACKAGES = ("torch", "transformers")
STRETCHED = {"factor": 4.0, "original_max_position_embeddings": 8}
ROPES = {
    "linear": {"rope_theta": 1e4, "factor": 4.0},
    "dynamic": {"rope_theta": 1e4, "factor": 4.0},
    "yarn": {"rope_theta": 1e4, "beta_fast": 1.0, "beta_slow": 0.1, **STRETCHED},
    "llama3": {"rope_theta": 1e2, "low_freq_factor": 0.1, "high_freq_factor": 1.0, **STRETCHED},
}


def rope(kind: str) -> dict:
    return {"rope_parameters": {"rope_type": kind, **ROPES[kind]}}


TIED = {
    "hidden_size": 24,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 5e5,
    "tie_word_embeddings": True,
}
QWEN2 = {
    "use_sliding_window": True,
    "sliding_window": 4,
    "max_window_layers": 1,
    "tie_word_embeddings": True,
}
GEMMA2 = {
    "head_dim": 8,
    "sliding_window": 4,
    "query_pre_attn_scalar": 16,
    "attn_logit_softcapping": 1.0,
    "final_logit_softcapping": 2.0,
}
CASES = {
    "llama": ("Llama", {"vocab_size": 19, "num_hidden_layers": 3}),
    "llama_tied": ("Llama", TIED),
    "llama_linear": ("Llama", rope("linear")),
    "llama_dynamic": ("Llama", rope("dynamic") | {"max_position_embeddings": 8}),
    "llama_yarn": ("Llama", rope("yarn") | {"head_dim": 16}),
    "llama_llama3": ("Llama", rope("llama3") | {"head_dim": 16}),
    "mistral": ("Mistral", {"sliding_window": 4, "head_dim": 8}),
    "qwen2": ("Qwen2", QWEN2),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "gemma": ("Gemma", {"head_dim": 8}),
    "gemma2": ("Gemma2", GEMMA2),
}


def family_case(family: str, options: dict, rng: np.random.RandomState) -> Arrays:
    config = getattr(transformers, family + "Config")(**(LLAMA | options))
    model = getattr(transformers, family + "ForCausalLM")(config).eval()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        for name, p in model.named_parameters():
            draw = normal(rng, *p.shape, mean=1.0 if "norm" in name else 0.0, std=0.2)
            p.copy_(torch.tensor(np.round(draw * 16) / 16))
    # without id 0, the padding of Gemma, whose embedding has no gradient
    ids = rng.randint(1, config.vocab_size, (2, 13))
    logits = model(torch.tensor(ids)).logits
    loss = cross_entropy(logits[:, :-1].flatten(0, 1), torch.tensor(ids)[:, 1:].flatten())
    loss.backward()
    parameters = dict(model.named_parameters())
    return {
        "config": np.array(config.to_json_string()),
        **{f"param/{name}": p.detach().numpy() for name, p in parameters.items()},
        **{f"grad/{name}": p.grad.numpy() for name, p in parameters.items()},
        "ids": ids,
        "logits": logits.detach().numpy(),
        "loss": loss.detach().numpy(),
    }


def generate() -> Arrays:
    rng = np.random.RandomState(11)
    cases = [named(name, family_case(*case, rng)) for name, case in CASES.items()]
    return {name: x for case in cases for name, x in case.items()}
