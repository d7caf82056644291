"""Flow matching: solvers against diffusers and scipy, the Diffusion Transformer against torch."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.generative.flow_matching import interpolate
from panorax.nets import dit
from panorax.ops import solvers
from panorax.testing.tolerances import LAYER, MODEL, NUMBER


@pytest.mark.parametrize(
    "name, solver",
    [
        ("flow/euler_shift_1", solvers.euler),
        ("flow/euler_shift_3", solvers.euler),
        ("flow/heun", solvers.heun),
    ],
)
def test_solvers_against_diffusers_with_time_reversed(golden, name, solver):
    with golden(name) as case:
        mean, std = case.settings().values()
        times, path = 1 - case["level"], case["out"]

        def velocity(t, x):
            """E[data - noise | x], with noise at t = 0 and data from N(mean, std^2) at t = 1."""
            variance = t**2 * std**2 + (1 - t) ** 2
            return mean + (t * std**2 - (1 - t)) / variance * (x - t * mean)

        def step(x, t0, t1):
            return solver(velocity, x, jnp.stack([t0, t1]))

        np.testing.assert_allclose(
            jax.jit(jax.vmap(step))(path[:-1], times[:-1], times[1:]), path[1:], **LAYER
        )
        end = jax.jit(lambda x: solver(velocity, x, times))(path[0])
        np.testing.assert_allclose(end, path[-1], **LAYER)


def test_interpolation_between_noise_and_data(golden):
    with golden("flow/interpolation") as case:
        np.testing.assert_allclose(
            interpolate(case["noise"], case["data"], 1 - case["level"]), case["out"], **NUMBER
        )


def lotka_volterra(t, y):
    prey, predators = y
    return jnp.stack(
        [(1.5 + 0.3 * jnp.sin(t)) * prey - prey * predators, prey * predators - 3 * predators]
    )


def test_one_step_of_dormand_prince(golden):
    with golden("solvers/step") as case:
        # with an infinite tolerance the first step reaches the end, in seven evaluations
        options = case.settings() | {"rtol": 0.0, "atol": 1e12}
        solution = jax.jit(lambda y: solvers.dopri5(lotka_volterra, y, **options))(case["start"])
        assert int(solution.evaluations) == 7
        np.testing.assert_allclose(solution.x, case["out"], **NUMBER)


def test_dormand_prince_to_the_end(golden):
    with golden("solvers/solution") as case:
        options = case.settings() | {"rtol": 1e-6, "atol": 1e-7}
        solve = jax.jit(lambda y: solvers.dopri5(lotka_volterra, y, **options).x)
        np.testing.assert_allclose(solve(case["start"]), case["out"], **MODEL)


def to_ours(theirs: dict, cfg: dit.Config) -> dict:
    """Our parameters from the published code's, with matrices (out, in) and channels first."""
    left, D, H = dict(theirs), cfg.d_model, cfg.n_heads

    def dense(name, weight=lambda w: w.T):
        return {"w": weight(left.pop(f"{name}.weight")), "b": left.pop(f"{name}.bias")}

    def blocks(name, *shape):
        return jnp.stack(
            [left.pop(f"blocks.{l}.{name}.weight").T.reshape(shape) for l in range(cfg.n_layers)]
        )

    ours = {
        "patch": dense("x_embedder.proj", lambda w: w.transpose(2, 3, 1, 0).reshape(-1, D)),
        "time": (dense("t_embedder.mlp.0"), dense("t_embedder.mlp.2")),
        "label": left.pop("y_embedder.embedding_table.weight"),
        "blocks": {
            "qkv": blocks("attn.qkv", D, 3, H, D // H),
            "o": blocks("attn.proj", H, D // H, D),
            "up": blocks("mlp.fc1", D, cfg.d_ff),
            "down": blocks("mlp.fc2", cfg.d_ff, D),
            "modulation": blocks("adaLN_modulation.1", D, 6, D),
        },
        "modulation": left.pop("final_layer.adaLN_modulation.1.weight").T.reshape(D, 2, D),
        "out": dense("final_layer.linear"),
    }
    assert not left, f"unused weights: {', '.join(left)}"
    return ours


def test_diffusion_transformer(golden):
    with golden("dit/adaln_zero") as case:
        cfg, time, label = dit.Config(**case.settings()), case["time"], case["label"]
        weights = [name for name in case.group("grad") if name != "image"]
        params = to_ours({name: case[name] for name in weights}, cfg)
        declared = core_spec.abstract(dit.spec(cfg, (4, 6, 3), 4))
        chex.assert_trees_all_equal_shapes(params, declared)

        def field(image_BCYX, *values):
            params = to_ours(dict(zip(weights, values, strict=True)), cfg)
            image_BYXC = jnp.moveaxis(image_BCYX, 1, -1)
            return jnp.moveaxis(dit.apply(params, image_BYXC, time, label, cfg), -1, 1)

        case.check_vjp(field, ("image", *weights))
