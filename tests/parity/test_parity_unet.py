"""The U-Net against `UNet2DModel` of diffusers."""

import json

import jax.numpy as jnp

from panorax.interop import diffusers_unet
from panorax.nets import unet


def test_unet(golden):
    with golden("unet/diffusers") as case:
        sizes = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in case.settings().items()
        }
        cfg, time, label = unet.Config(**sizes), case["time"], case["label"]
        arguments = json.loads(json.dumps(diffusers_unet.arguments(cfg, (4, 6, 2), 4)))
        assert arguments == case.settings("arguments")
        weights = [name for name in case.group("grad") if name != "image"]

        def field(image_BCYX, *values):
            params = diffusers_unet.from_diffusers(dict(zip(weights, values, strict=True)), cfg)
            image_BYXC = jnp.moveaxis(image_BCYX, 1, -1)
            return jnp.moveaxis(unet.apply(params, image_BYXC, time, label, cfg), -1, 1)

        case.check_vjp(field, ("image", *weights))
