"""LoRA of peft on a Llama of transformers: logits, gradients of all factors, merged weights.

All factors are drawn, so that no gradient vanishes. All numbers are multiples of 1/16, which
compress well.
"""

import numpy as np
import peft
import torch
import transformers
from case import LLAMA, Arrays, named, normal
from torch.nn.functional import cross_entropy

GROUP = "torch"
PACKAGES = ("peft", "torch", "transformers")
CASES = {"everywhere": {"r": 3, "lora_alpha": 4, "target_modules": "all-linear"}}
PREFIX = "base_model.model."


def draw(rng: np.random.RandomState, p: torch.Tensor, mean: float = 0.0) -> torch.Tensor:
    return torch.tensor(np.round(normal(rng, *p.shape, mean=mean, std=0.2) * 16) / 16)


def lora_case(options: dict, rng: np.random.RandomState) -> Arrays:
    config = transformers.LlamaConfig(**LLAMA)
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(draw(rng, p, mean=1.0 if "norm" in name else 0.0))
    base = {name: p.detach().clone().numpy() for name, p in model.named_parameters()}
    adapted = peft.get_peft_model(model, peft.LoraConfig(**options)).eval()
    factors = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    assert all(".lora_A." in name or ".lora_B." in name for name in factors)
    with torch.no_grad():
        for p in factors.values():
            p.copy_(draw(rng, p))
    ids = torch.tensor(rng.randint(0, config.vocab_size, (2, 9)))
    logits = adapted(ids).logits
    cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    short = {name: name.removeprefix(PREFIX).replace(".default", "") for name in factors}
    drawn = {f"factor/{short[name]}": p.detach().clone().numpy() for name, p in factors.items()}
    gradients = {f"grad/{short[name]}": p.grad.numpy() for name, p in factors.items()}
    merged = adapted.merge_and_unload().named_parameters()
    return {
        "config": np.array(config.to_json_string()),
        "options/r": np.array(options["r"]),
        "options/alpha": np.array(options["lora_alpha"]),
        **{f"param/{name}": x for name, x in base.items()},
        **drawn,
        **gradients,
        **{f"merged/{name}": p.detach().numpy() for name, p in merged if "_proj" in name},
        "ids": ids.numpy(),
        "logits": logits.detach().numpy(),
    }


def generate() -> Arrays:
    rng = np.random.RandomState(17)
    cases = [named(name, lora_case(options, rng)) for name, options in CASES.items()]
    return {name: x for case in cases for name, x in case.items()}
