"""K-FAC of a small perceptron and of a small convolutional net, by curvlinops.

Each case holds the factors of every layer, with the bias among the inputs, and a product of the
whole matrix with a vector.
"""

import numpy as np
import torch
from case import Arrays, named, normal
from curvlinops import KFACLinearOperator
from torch import nn

GROUP = "torch"
PACKAGES = ("curvlinops-for-pytorch", "torch")


def factors(
    net: nn.Sequential,
    x: np.ndarray,
    label: np.ndarray,
    layers: tuple[int, ...],
    kind: str,
    rng: np.random.RandomState,
) -> Arrays:
    """Random parameters in the order (out, in, ...), both factors of every layer, and K v.

    layers: positions of the layers with parameters in `net`.  kind: Fisher type of curvlinops.
    The vector v has the shapes of the parameters.
    """
    arrays = {"x": x}
    with torch.no_grad():
        for i, layer in enumerate(layers):
            for name, p in net[layer].named_parameters():
                arrays[f"{i}/{name}"] = normal(rng, *p.shape, std=0.5)
                p.copy_(torch.tensor(arrays[f"{i}/{name}"]))
    net = net.double()
    params = list(net.parameters())
    operator = KFACLinearOperator(
        net,
        nn.CrossEntropyLoss(),
        params,
        [(torch.tensor(x, dtype=torch.float64), torch.tensor(label))],
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
        arrays[f"a/{i}"] = operator._input_covariances[str(layer)].numpy()
        arrays[f"g/{i}"] = operator._gradient_covariances[str(layer)].numpy()
    return arrays


def generate() -> Arrays:
    rng = np.random.RandomState(11)
    label = rng.randint(0, 3, 7)
    perceptron = nn.Sequential(
        nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)
    )
    dense = factors(perceptron, normal(rng, 7, 5), label, (0, 2, 4), "type-2", rng)
    convolutions = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(4 * 3 * 2, 3),
    )
    image = normal(rng, 7, 2, 5, 4)
    conv = factors(convolutions, image, label, (0, 2, 5), "type-2", rng)
    empirical = factors(convolutions.float(), image, label, (0, 2, 5), "empirical", rng)
    cases = {"perceptron": dense, "convolutions": conv, "empirical": empirical | {"label": label}}
    return {name: x for case, arrays in cases.items() for name, x in named(case, arrays).items()}
