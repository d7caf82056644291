"""curvlinops' K-FAC of a small perceptron and of a small convolutional net: factors with the bias among the inputs, and a product with the whole matrix."""

import numpy as np
import torch
from case import Arrays, named, normal
from curvlinops import KFACLinearOperator
from torch import nn

PACKAGES = ("curvlinops-for-pytorch", "torch")


def factors(
    net: nn.Sequential,
    loss,
    x: np.ndarray,
    target: torch.Tensor,
    layers: dict[str, int],
    kind: str,
    rng: np.random.RandomState,
) -> Arrays:
    """Parameters in torch's order (out, in, ...), random for every layer, the two factors of each, and K v with v of the parameters' shapes."""
    arrays = {"x": x}
    with torch.no_grad():
        for i, layer in enumerate(layers.values()):
            for name, p in net[layer].named_parameters():
                arrays[f"{i}/{name}"] = normal(rng, *p.shape, std=0.5)
                p.copy_(torch.tensor(arrays[f"{i}/{name}"]))
    net = net.double()
    params = list(net.parameters())
    operator = KFACLinearOperator(
        net,
        loss,
        params,
        [(torch.tensor(x, dtype=torch.float64), target)],
        fisher_type=kind,
        kfac_approx="expand",
        separate_weight_and_bias=False,
    )
    vectors = [normal(rng, *p.shape) for p in params]
    products = operator @ [torch.tensor(v, dtype=torch.float64) for v in vectors]
    names = [f"{i}/{name}" for i in range(len(layers)) for name in ("weight", "bias")]
    for name, v, product in zip(names, vectors, products, strict=True):
        arrays[f"v/{name}"], arrays[f"product/{name}"] = v, product.detach().numpy()
    for i, layer in enumerate(layers):
        arrays[f"a/{i}"], arrays[f"g/{i}"] = (
            operator._input_covariances[layer].numpy(),
            operator._gradient_covariances[layer].numpy(),
        )
    return arrays


def generate() -> Arrays:
    rng = np.random.RandomState(11)
    label = rng.randint(0, 3, 7)
    perceptron = nn.Sequential(
        nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)
    )
    dense = factors(
        perceptron,
        nn.CrossEntropyLoss(),
        normal(rng, 7, 5),
        torch.tensor(label),
        {"0": 0, "2": 2, "4": 4},
        "type-2",
        rng,
    )
    convolutions = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(4 * 3 * 2, 3),
    )
    conv = factors(
        convolutions,
        nn.CrossEntropyLoss(),
        normal(rng, 7, 2, 5, 4),
        torch.tensor(label),
        {"0": 0, "2": 2, "5": 5},
        "type-2",
        rng,
    )
    seen = factors(
        convolutions.float(),
        nn.CrossEntropyLoss(),
        conv["x"],
        torch.tensor(label),
        {"0": 0, "2": 2, "5": 5},
        "empirical",
        rng,
    )
    cases = {"perceptron": dense, "convolutions": conv, "empirical": seen | {"label": label}}
    return {name: x for case, arrays in cases.items() for name, x in named(case, arrays).items()}
