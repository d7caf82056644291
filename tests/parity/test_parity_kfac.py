"""K-FAC against curvlinops: the factors of every layer, and a product with the whole matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.maths.optimisation.fisher import CATEGORICAL
from panorax.maths.optimisation.kfac import (
    Factors,
    exact_factors,
    factors,
    map_layers,
    patches,
    record,
    weights,
)
from panorax.ops.losses import cross_entropy
from panorax.testing.tolerances import LAYER


def layer_of(group, i):
    """A layer from torch's weight, (out, in) or (out, in, u, v)."""
    w, b = group[f"{i}/weight"], group[f"{i}/bias"]
    return {"w": w.T if w.ndim == 2 else w.transpose(2, 3, 1, 0), "b": b}


def perceptron(params, taps, x):
    inputs = []
    for i, (layer, tap) in enumerate(zip(params, taps, strict=True)):
        inputs.append(x)
        s = x @ layer["w"] + layer["b"][None] + tap
        x = jnp.tanh(s) if i < 2 else s
    return x, tuple(inputs)


def convolutions(params, taps, x):
    inputs = []
    for i, (layer, tap) in enumerate(zip(params[:2], taps[:2], strict=True)):
        inputs.append(patches(x, 3, stride=1 + i, padding=((1, 1), (1, 1))))
        w = layer["w"].reshape(-1, layer["w"].shape[-1])
        x = jnp.tanh(inputs[-1] @ w + layer["b"][None, None, None] + taps[i])
    # torch flattens with channels first
    inputs.append(x.transpose(0, 3, 1, 2).reshape(len(x), -1))
    return inputs[-1] @ params[2]["w"] + params[2]["b"][None] + taps[2], tuple(inputs)


def in_our_order(case, i, layer):
    """curvlinops' factors with our order of inputs.

    Its patches are ordered channel by channel, ours pixel by pixel; the bias is last in both.
    """
    a = case[f"a/{i}"]
    if layer["w"].ndim == 4:
        u, v, channels, _ = layer["w"].shape
        n = channels * u * v
        pixels_first = np.arange(n).reshape(channels, u, v).transpose(1, 2, 0).ravel()
        order = np.append(pixels_first, n)
        a = a[order][:, order]
    return Factors(a, case[f"g/{i}"])


@pytest.mark.parametrize("name", ["kfac/perceptron", "kfac/convolutions", "kfac/empirical"])
def test_factors_and_products(golden, name):
    with golden(name) as case:
        net = perceptron if name == "kfac/perceptron" else convolutions
        x = case["x"] if net is perceptron else case["x"].transpose(0, 2, 3, 1)
        params = tuple(layer_of(case, i) for i in range(3))
        if name == "kfac/empirical":
            label = case["label"]

            def kfac(params, x):
                outputs, inputs, pull = record(net, params, x)
                loss = lambda logits: jnp.sum(cross_entropy(logits, label))
                return factors(params, inputs, pull(jax.grad(loss)(outputs)))
        else:
            kfac = lambda params, x: exact_factors(net, CATEGORICAL, params, x)
        ours = jax.jit(kfac)(params, x)
        vectors, products = (
            tuple(layer_of(case.group(part), i) for i in range(3)) for part in ("v", "product")
        )
        times = map_layers(lambda v, factor: factor.a @ weights(v) @ factor.g, vectors, ours)
        for i, layer in enumerate(params):
            theirs = in_our_order(case, i, layer)
            scale = [float(jnp.abs(m).max()) for m in (theirs.a, theirs.g, weights(products[i]))]
            np.testing.assert_allclose(ours[i].a, theirs.a, atol=LAYER["atol"] * scale[0])
            np.testing.assert_allclose(ours[i].g, theirs.g, atol=LAYER["atol"] * scale[1])
            np.testing.assert_allclose(
                times[i], weights(products[i]), atol=LAYER["atol"] * scale[2]
            )
