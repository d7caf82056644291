"""Adversarial games against torch: losses and gradients of both players, with penalties."""

import chex
import pytest

from panorax.core import spec as core_spec
from panorax.data.images import Config as Images
from panorax.generative import gan
from panorax.nets import conditional_mlp

LAYERS = ("w0", "b0", "w1", "b1", "w2", "b2")
NET = conditional_mlp.Config(hidden=(4, 4), label_width=2)


def to_ours(label, w0, b0, w1, b1, w2, b2):
    """Parameters of `conditional_mlp` from the oracle's."""
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
            chex.assert_trees_all_equal_shapes(params, core_spec.abstract(nets[player].spec))
        rules = gan.GAMES[game]

        def loss_d(*values):
            params, opponent = to_ours(*values), (g, ())
            return gan.discriminator_loss_fn(params, (), batch, None, opponent, nets, rules, cfg)[0]

        def loss_g(*values):
            params, opponent = to_ours(*values), (d, ())
            return gan.loss_fn(params, (), batch, None, opponent, nets, rules)[0]

        case_d.check_vjp(loss_d, names)
        case_g.check_vjp(loss_g, names)
