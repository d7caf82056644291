"""Recurrent state-space model: a recurrent state h and categorical variables z, as in DreamerV3.

    h'      = f(h, z, a)                  block-diagonal gated recurrent unit
    z_prior ~ p(z' | h')                  what the model expects
    z'      ~ q(z' | h', embedding(x'))   what it infers from the observation x'

z holds S variables with C classes each, one-hot. Their distributions mix in a uniform share, so
that no class has probability 0, and samples pass gradients straight through.
Source: Hafner et al. 2023, arXiv:2301.04104, sections "World model learning" and B.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.core.ranges import Count, Share, checked
from panorax.core.spec import P
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.ops.norms import rms_norm


@checked
class Config:
    """Sizes of the state and of the layers between; the defaults are the model of 1M parameters."""

    recurrent: Count = 512
    """width of h"""
    variables: Count = 32
    """categorical variables of z [S]"""
    classes: Count = 4
    """classes of each variable [C]"""
    hidden: Count = 64
    """width of the hidden layers"""
    blocks: Count = 8
    """diagonal blocks of the recurrent weights"""
    uniform: Share = 0.01
    """share of the uniform distribution in every categorical distribution"""

    def __post_init__(self):
        if self.recurrent % self.blocks:
            raise ValueError(f"{self.blocks} blocks do not divide a width of {self.recurrent}")

    @property
    def width(self) -> int:
        """Number of features of a state, of h and z together."""
        return self.recurrent + self.variables * self.classes


class Latent(NamedTuple):
    """The state of the model."""

    h: Float[Array, "*batch D"]
    """recurrent state"""
    z: Float[Array, "*batch S C"]
    """one-hot categorical variables"""

    @property
    def features(self) -> Float[Array, "*batch F"]:
        """h and z as one vector."""
        return jnp.concatenate([self.h, self.z.reshape(*self.h.shape[:-1], -1)], -1)


def empty(cfg: Config, batch: tuple[int, ...]) -> Latent:
    """The state of zeros from which an episode starts."""
    return Latent(
        jnp.zeros((*batch, cfg.recurrent)), jnp.zeros((*batch, cfg.variables, cfg.classes))
    )


def spec(cfg: Config, actions: int, embedding: int):
    """Parameters for action vectors and embeddings of observations of these widths."""
    D, z = cfg.recurrent, cfg.variables * cfg.classes
    width = D // cfg.blocks
    layer = lambda inputs: {
        **dense_spec(inputs, cfg.hidden, fan_in(1.0)),
        "scale": P((cfg.hidden,), ("outputs",), jax.nn.initializers.ones),
    }
    block = lambda inputs, outputs: {
        "w": P((cfg.blocks, inputs, outputs), ("blocks", "inputs", "outputs"), block_fan_in),
        "b": P((cfg.blocks, outputs), ("blocks", "outputs"), jax.nn.initializers.zeros),
    }
    return {
        "h": layer(D),
        "z": layer(z),
        "action": layer(actions),
        "joined": {
            **block(width, width),
            "shared": P((3 * cfg.hidden, D), ("inputs", "outputs"), fan_in(1.0)),
            "scale": P((D,), ("outputs",), jax.nn.initializers.ones),
        },
        "gates": block(width, 3 * width),
        "prior": {"layer": layer(D), "logits": dense_spec(cfg.hidden, z, fan_in(1.0))},
        "posterior": {
            "layer": layer(D + embedding),
            "logits": dense_spec(cfg.hidden, z, fan_in(1.0)),
        },
    }


def block_fan_in(key, shape, dtype):
    """Normal with variance 1 / inputs, for (blocks, inputs, outputs)."""
    return jax.random.normal(key, shape, dtype) * shape[1] ** -0.5


def advance(
    params, latent: Latent, action: Float[Array, "*batch A"], cfg: Config
) -> Float[Array, "*batch D"]:
    """The next recurrent state h' = u * tanh(r * c) + (1 - u) * h with gates r, u and candidate c.

    The gates are functions of h, z and the action; a bias of -1 makes u small at first. A block of
    h depends on this block, and on one layer each over all of h, over z and over the action.
    """
    z = latent.z.reshape(*latent.h.shape[:-1], -1)
    inputs = (params["h"], latent.h), (params["z"], z), (params["action"], action)
    shared = jnp.concatenate([_layer(p, x) for p, x in inputs], -1)
    parts = latent.h.reshape(*latent.h.shape[:-1], cfg.blocks, -1)
    x = (
        _blocks(params["joined"], parts).reshape(latent.h.shape)
        + shared @ params["joined"]["shared"]
    )
    x = jax.nn.silu(rms_norm(x, params["joined"]["scale"], 1e-4))
    reset, candidate, gate = jnp.split(_blocks(params["gates"], x.reshape(parts.shape)), 3, -1)
    gate = jax.nn.sigmoid(gate - 1)
    new = gate * jnp.tanh(jax.nn.sigmoid(reset) * candidate) + (1 - gate) * parts
    return new.reshape(latent.h.shape)


def prior(params, h: Float[Array, "*batch D"], cfg: Config) -> Float[Array, "*batch S C"]:
    """Log probabilities of the variables before the observation is seen."""
    return _log_probs(params["prior"], h, cfg)


def posterior(
    params, h: Float[Array, "*batch D"], embedding: Float[Array, "*batch E"], cfg: Config
) -> Float[Array, "*batch S C"]:
    """Log probabilities of the variables once the observation is seen."""
    return _log_probs(params["posterior"], jnp.concatenate([h, embedding], -1), cfg)


def noise(key: jax.Array, shape: tuple[int, ...], cfg: Config) -> Float[Array, "*shape S"]:
    """Uniform numbers in [0, 1) for `one_hot_sample`, drawn at once for all steps of a scan."""
    return jax.random.uniform(key, (*shape, cfg.variables))


def one_hot_sample(
    log_p: Float[Array, "*batch S C"], u: Float[Array, "*batch S"]
) -> Float[Array, "*batch S C"]:
    """One-hot samples whose gradient is that of the probabilities (straight-through).

    The class is the number of cumulative probabilities that are at most u.
    """
    p = jnp.exp(log_p)
    below = jnp.cumsum(jax.lax.stop_gradient(p), -1)[..., :-1] <= u[..., None]
    hot = jax.nn.one_hot(jnp.sum(below, -1), log_p.shape[-1], dtype=p.dtype)
    return hot + p - jax.lax.stop_gradient(p)


def divergence(
    log_p: Float[Array, "*batch S C"], log_q: Float[Array, "*batch S C"]
) -> Float[Array, "*batch"]:
    """KL(p || q) in nats, summed over the variables."""
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), (-2, -1))


def _log_probs(params, x, cfg: Config):
    logits = dense(params["logits"], _layer(params["layer"], x))
    logits = logits.reshape(*x.shape[:-1], cfg.variables, cfg.classes).astype(jnp.float32)
    p = (1 - cfg.uniform) * jax.nn.softmax(logits) + cfg.uniform / cfg.classes
    return jnp.log(p)


def _layer(params, x):
    return jax.nn.silu(rms_norm(dense(params, x), params["scale"], 1e-4))


def _blocks(params, x):
    """x (*batch, blocks, inputs) times the weights of each block."""
    y = jnp.einsum("...gi,gio->...go", x, params["w"])
    return y + params["b"].reshape((1,) * (y.ndim - 2) + params["b"].shape)
