"""Adversarial games: losses and gradients of both players, penalties included, against torch."""

import jax
import jax.numpy as jnp
import pytest

from panorax.core import spec as core_spec
from panorax.data.images import Config as Images
from panorax.generative import gan
from panorax.nets import conditional_mlp

LAYERS = ("w0", "b0", "w1", "b1", "w2", "b2")
NET = conditional_mlp.Config(hidden=(4, 4), label_width=2)


def to_ours(label, w0, b0, w1, b1, w2, b2):
    """The tree of `conditional_mlp` from the oracle's names."""
    torso = ({"w": w0, "b": b0}, {"w": w1, "b": b1})
    return {"label": label, "torso": torso, "out": {"w": w2, "b": b2}}


@pytest.mark.parametrize(
    "game, discriminator, generator",
    [
        ("non_saturating", "gan/non_saturating_discriminator", "gan/non_saturating_generator"),
        ("relativistic", "gan/relativistic_discriminator", "gan/relativistic_generator"),
    ],
)
def test_losses_of_both_players(golden, game, discriminator, generator):
    with (
        golden("gan/batch") as case,
        golden(discriminator) as case_d,
        golden(generator) as case_g,
    ):
        batch = {name: case[name] for name in ("x", "z", "label")}
        shape, latent = batch["x"].shape[1:], batch["z"].shape[1]
        cfg = gan.Config(data=Images(size=shape[0], classes=3), latent=latent, **case.settings())
        nets = {
            "discriminator": conditional_mlp.net(NET, shape, (), 3),
            "generator": conditional_mlp.net(NET, (latent,), shape, 3),
        }
        names = ("label", *LAYERS)
        d, g = (to_ours(*(c[name] for name in names)) for c in (case_d, case_g))
        for params, player in ((d, "discriminator"), (g, "generator")):
            declared = core_spec.map_spec(lambda p: p.shape, nets[player].spec)
            assert jax.tree.map(jnp.shape, params) == declared

        def of_d(*values):
            opponent = g, ()
            loss, _ = gan.discriminator_loss_fn(
                to_ours(*values), (), batch, None, opponent, nets, gan.GAMES[game], cfg
            )
            return loss

        def of_g(*values):
            opponent = d, ()
            return gan.loss_fn(to_ours(*values), (), batch, None, opponent, nets, gan.GAMES[game])[
                0
            ]

        case_d.check_vjp(of_d, names)
        case_g.check_vjp(of_g, names)
