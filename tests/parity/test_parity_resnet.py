"""ResNet against torchvision's layers in torch: both blocks, both stems, both modes."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec
from panorax.nets.convolutional import resnet
from panorax.ops.batch_norm import Running
from panorax.testing.tolerances import LAYER


def channels_last(x_BCYX):
    return jnp.moveaxis(x_BCYX, 1, -1)


def weights_of(values, conv, norm):
    """Parameters of a layer from torch's, whose kernels are (out, in, y, x)."""
    w = values[f"{conv}.weight"].transpose(2, 3, 1, 0)
    return {"w": w, "scale": values[f"{norm}.weight"], "bias": values[f"{norm}.bias"]}


def running_of(values, conv, norm):
    """State of a layer from torch's."""
    return Running(values[f"{norm}.running_mean"], values[f"{norm}.running_var"])


def from_torch(values, cfg, layer):
    """Our tree without the head, with each layer made by `layer`.

    The blocks of a stage after the first are stacked.
    """

    def block(name, layers):
        branch = range(1, len(layers.branch) + 1)
        tree = {"branch": tuple(layer(values, f"{name}.conv{i}", f"{name}.bn{i}") for i in branch)}
        skip = {"skip": (f"{name}.downsample.0", f"{name}.downsample.1")} if layers.skip else {}
        return tree | {part: layer(values, *names) for part, names in skip.items()}

    stages = []
    for i, layers in enumerate(resnet.stages(cfg), 1):
        first, *rest = [block(f"layer{i}.{j}", layer) for j, layer in enumerate(layers)]
        stacked = {"rest": jax.tree.map(lambda *x: jnp.stack(x), *rest)} if rest else {}
        stages.append({"first": first} | stacked)
    return {"stem": layer(values, "conv1", "bn1"), "stages": tuple(stages)}


def config(settings):
    return resnet.Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})


def close(ours, theirs):
    """True if the error relative to the largest number, if above one, is within LAYER."""
    scale = max(1.0, float(jnp.abs(theirs).max()))
    return np.allclose(ours, theirs, rtol=0, atol=LAYER["atol"] * scale)


def message(ours, theirs):
    return f"largest difference {float(jnp.abs(ours - theirs).max()):.2e}"


@pytest.mark.parametrize("name", ["resnet/basic", "resnet/bottleneck"])
def test_resnet(golden, name):
    with golden(name) as case:
        cfg = config(case.settings())
        before = from_torch(case.group("running"), cfg, running_of)
        gradients = case.group("grad")
        inputs = {name: case[name] for name in gradients}

        def logits(values, train):
            head = {"w": values["fc.weight"].T, "b": values["fc.bias"]}
            params = from_torch(values, cfg, weights_of) | {"head": head}
            return resnet.apply(params, before, channels_last(values["image"]), cfg, train=train)

        @jax.jit
        def both_modes(values, cotangent):
            out, pull_back, after = jax.vjp(lambda v: logits(v, True), values, has_aux=True)
            evaluated, unchanged = logits(values, False)
            outputs = {
                "training": out,
                "evaluation": evaluated,
                "gradients": pull_back(cotangent)[0],
                "running": after,
            }
            return outputs, unchanged

        outputs, unchanged = both_modes(inputs, case["cotangent"])
        expected = {
            "training": case["out"],
            "evaluation": case["evaluated"],
            "gradients": gradients,
            "running": from_torch(case.group("after"), cfg, running_of),
        }
        chex.assert_trees_all_equal_comparator(close, message, outputs, expected)
        chex.assert_trees_all_equal(unchanged, before)


@pytest.mark.parametrize("name", ["resnet/resnet18", "resnet/resnet50"])
def test_parameter_counts(golden, name):
    with golden(name) as case:
        sizes = case.settings()
        parameters = sizes.pop("parameters")
        cfg = config({**sizes, "stem": "imagenet"})
        assert spec.count(resnet.spec(cfg, (224, 224, 3), 1000)) == parameters
