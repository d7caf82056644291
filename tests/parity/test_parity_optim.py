"""Twenty steps of AdamW with clipping and schedule against torch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core.optim import AdamW, learning_rate, optimizer
from panorax.core.spec import P
from panorax.ops.losses import cross_entropy
from panorax.testing.tolerances import LAYER, NUMBER


def test_adamw_with_clipping_schedule_and_decay_mask(golden):
    with golden("optim/adamw") as case:
        settings, x, label = case.settings(), case["x"], case["label"]
        steps = settings.pop("steps")
        cfg = AdamW(schedule="cosine", **settings)
        params = {"w": case["w0"], "b": case["b0"]}
        spec = {name: P(p.shape, (None,) * p.ndim, None) for name, p in params.items()}
        tx = optimizer(cfg, steps, spec)

        def loss(params):
            return jnp.mean(cross_entropy(x @ params["w"] + params["b"][None], label))

        def step(carry, _):
            params, opt = carry
            gradient = jax.grad(loss)(params)
            updates, opt = tx.update(gradient, opt, params)
            params = optax.apply_updates(params, updates)
            return (params, opt), (params, optax.tree.norm(gradient))

        run = jax.jit(lambda carry: jax.lax.scan(step, carry, length=steps))
        _, (path, norms) = run((params, tx.init(params)))
        rate = learning_rate(cfg, steps)(jnp.arange(steps))
        np.testing.assert_allclose(rate, case["rate"], **NUMBER)
        np.testing.assert_allclose(norms, case["norm"], **LAYER)
        for name in params:
            np.testing.assert_allclose(path[name], case[name], **LAYER, err_msg=name)
