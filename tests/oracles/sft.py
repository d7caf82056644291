"""The loss of transformers with labels of -100, which are not trained, on two rows of a Llama.

The second row is padded on the right. The loss is the mean over the trained tokens of both rows.
"""

import numpy as np
import torch
import transformers
from case import LLAMA, Arrays, named, normal

GROUP = "torch"
PACKAGES = ("torch", "transformers")
TRAINED = ((3, 9), (5, 7))  # answers of the rows: first token, and the token after the last
LENGTHS = (9, 7)


def generate() -> Arrays:
    rng = np.random.RandomState(23)
    config = transformers.LlamaConfig(**LLAMA)
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            drawn = normal(rng, *p.shape, mean=1.0 if "norm" in name else 0.0, std=0.2)
            p.copy_(torch.tensor(np.round(drawn * 16) / 16))
    params = {f"param/{name}": p.detach().clone().numpy() for name, p in model.named_parameters()}
    ids = rng.randint(1, config.vocab_size, (2, 9))
    present = np.arange(9) < np.array(LENGTHS)[:, None]
    labels = np.full((2, 9), -100)
    for row, (start, end) in enumerate(TRAINED):
        labels[row, start:end] = ids[row, start:end]
    tensors = [torch.tensor(x) for x in (ids, present.astype(np.int64), labels)]
    loss = model(tensors[0], attention_mask=tensors[1], labels=tensors[2]).loss
    loss.backward()
    gradients = {f"grad/{name}": p.grad.numpy() for name, p in model.named_parameters()}
    case = {
        "config": np.array(config.to_json_string()),
        **params,
        **gradients,
        "ids": ids,
        "labels": labels,
        "length": np.array(LENGTHS),
        "loss": loss.detach().numpy(),
    }
    return named("masked", case)
