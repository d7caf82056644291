"""The optimiser, twenty steps beside torch's AdamW with its clipping and schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core.optim import AdamW, learning_rate, optimizer
from panorax.core.spec import P
from panorax.ops.losses import cross_entropy


def test_adamw_with_clipping_schedule_and_decay_mask(golden):
    with golden("optim/adamw") as case:
        settings, x, label = case.settings(), case["x"], case["label"]
        steps = settings.pop("steps")
        cfg = AdamW(schedule="cosine", **settings)
        spec = {
            name: P(case[f"{name}0"].shape, (None,) * case[f"{name}0"].ndim, None)
            for name in ("w", "b")
        }
        tx = optimizer(cfg, steps, spec)

        def step(carry, _):
            params, opt = carry
            gradient = jax.grad(
                lambda p: jnp.mean(cross_entropy(x @ p["w"] + p["b"][None], label))
            )(params)
            updates, opt = tx.update(gradient, opt, params)
            params = optax.apply_updates(params, updates)
            return (params, opt), (params, optax.tree.norm(gradient))

        params = {"w": case["w0"], "b": case["b0"]}
        _, (path, norms) = jax.jit(lambda carry: jax.lax.scan(step, carry, length=steps))(
            (params, tx.init(params))
        )
        np.testing.assert_allclose(
            learning_rate(cfg, steps)(jnp.arange(steps)), case["rate"], rtol=1e-6, atol=1e-8
        )
        np.testing.assert_allclose(norms, case["norm"], rtol=1e-5)
        for name in params:
            np.testing.assert_allclose(path[name], case[name], rtol=1e-5, atol=5e-6, err_msg=name)
