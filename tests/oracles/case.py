"""Random numbers and the arrays of one golden case, shared by the generators.

A case is a group of arrays `<case>/<name>`. Sizes and rates are JSON numbers in `settings`. A case
with gradients has the inputs by name, the output `out` and a random `cotangent` of its shape.
`grad/<input>` is the gradient of sum(out * cotangent) in an input.
"""

import json

import numpy as np

Arrays = dict[str, np.ndarray]
LLAMA = {
    "vocab_size": 13,
    "hidden_size": 16,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
"""sizes of a small Llama of transformers"""


def normal(
    rng: np.random.RandomState, *shape: int, mean: float = 0.0, std: float = 1.0
) -> np.ndarray:
    """Normal float32 numbers. numpy keeps the streams of `RandomState` fixed."""
    return (mean + std * rng.standard_normal(shape)).astype(np.float32)


def scales(rng: np.random.RandomState, n: int) -> np.ndarray:
    """A learnt scale of a norm, away from its initial value of one."""
    return normal(rng, n, mean=1.0, std=0.2)


def named(case: str, arrays: Arrays) -> Arrays:
    """The arrays under the name of their case."""
    return {f"{case}/{name}": x for name, x in arrays.items()}


def settings(**values: int | float | bool | None) -> Arrays:
    """Python numbers as JSON."""
    return {"settings": np.array(json.dumps(values))}


def vjp(f, inputs: Arrays, rng: np.random.RandomState) -> Arrays:
    """A case with gradients of the torch function `f(**inputs)`, computed in float64."""
    import torch  # not every group has torch

    leaves = {
        name: torch.tensor(x, dtype=torch.float64, requires_grad=True) for name, x in inputs.items()
    }
    out = f(**leaves)
    cotangent = normal(rng, *out.shape)
    out.backward(torch.tensor(cotangent, dtype=torch.float64))
    gradients = {f"grad/{name}": leaf.grad.numpy() for name, leaf in leaves.items()}
    return {**inputs, "out": out.detach().numpy(), "cotangent": cotangent, **gradients}
