"""Multi-head latent attention of DeepSeek-V2: keys and values of all heads from one small latent.

    c = norm(W_c h),  r = rotate(W_r h)            the latent and the rotated key, R + P numbers
    k_i = [U_i c; r],  v_i = V_i c                 keys and values of head i
    q_i = [W_i h; rotate(W'_i h)]                  queries; W, W' may pass through a latent too

The cache holds c and r alone: R + P numbers of a token in each layer, for all heads. Positions
rotate a part of their own (decoupled rotation), because a rotation between U_i and c would prevent
the absorbed products: with one new token per row,

    q_i k_i = [U_i^T W_i h; rotate(W'_i h)] . [c; r],      sum_s p_s v_is = V_i sum_s p_s c_s,

which is multi-query attention over the cache as it is.
Source: DeepSeek-V2, arXiv:2405.04434, section 2.1.
"""

import jax
import jax.numpy as jnp

from panorax.core.ranges import Count, checked
from panorax.core.spec import P
from panorax.nets.decoders import cache
from panorax.ops.dot import dot
from panorax.ops.low_rank import merged
from panorax.ops.norms import rms_norm


@checked
class Latent:
    """Multi-head latent attention; the field `n_kv_heads` of the model has no effect."""

    rank: Count = 64
    """width of the latent of keys and values [R]"""
    query_rank: Count | None = None
    """width of the latent of queries; None for queries directly from the residual stream"""
    rotary: Count = 16
    """width of the rotated part of queries and keys, an even number [P]"""

    def check(self, cfg):
        """Raises ValueError if the rotated part has an odd width."""
        if self.rotary % 2:
            raise ValueError(f"model.attention.rotary must be even, got {self.rotary}")

    def rotated(self, cfg) -> int:
        """Width of the queries and keys that positions rotate."""
        return self.rotary

    def spec(self, cfg, to_residual) -> dict[str, P]:
        """Parameters of a layer; `to_residual` initialises the output projection."""
        D, H, K, R, rotary = cfg.d_model, cfg.n_heads, cfg.head_size, self.rank, self.rotary
        normal = lambda width: jax.nn.initializers.normal(width**-0.5)
        ones = jax.nn.initializers.ones
        heads = ("heads", "head_dim")
        down, width = {}, D
        if self.query_rank:
            width = self.query_rank
            down = {
                "q_down": P((D, width), ("embed", "latent"), normal(D)),
                "q_norm": P((width,), ("latent",), ones),
            }
        axis = "latent" if self.query_rank else "embed"
        return down | {
            "q": P((width, H, K + rotary), (axis, *heads), normal(width), outputs=2),
            "kv_down": P((D, R), ("embed", "latent"), normal(D)),
            "kv_norm": P((R,), ("latent",), ones),
            "k_rotary": P((D, rotary), ("embed", "head_dim"), normal(D)),
            "k_up": P((R, H, K), ("latent", *heads), normal(R), outputs=2),
            "v_up": P((R, H, K), ("latent", *heads), normal(R), outputs=2),
            "o": P((H, K, D), (*heads, "embed"), to_residual),
        }

    def empty(self, cfg, batch: int, room: int) -> cache.Slots:
        """Latents of no token, for `batch` rows of texts of `room` tokens."""
        return cache.slots(cfg, ((1, self.rank + self.rotary),), batch, room)

    def attend(self, h_BTD, layer, view, cfg, scale=None, cap=None):
        """Output (B, T, D), and what `view` keeps; `Heads.attend` has the arguments."""
        q_BTHK, q_BTHP = self._queries(h_BTD, layer, view, cfg)
        c_BT1R = rms_norm(dot(h_BTD, layer["kv_down"]), layer["kv_norm"], cfg.norm_eps)[:, :, None]
        r_BT1P = view.rotate(dot(h_BTD, layer["k_rotary"])[:, :, None])
        (cr_BS1N,), key_BS, kept = view.remember((jnp.concatenate([c_BT1R, r_BT1P], -1),))
        scale = (cfg.head_size + self.rotary) ** -0.5 if scale is None else scale
        softmax = lambda q, k, v: view.softmax(q, k, v, key_BS, scale, cap)
        values = absorbed if h_BTD.shape[1] == 1 else expanded
        out_BTHK = values(q_BTHK, q_BTHP, cr_BS1N, layer, softmax)
        return dot(out_BTHK, layer["o"], 2), kept

    def _queries(self, h_BTD, layer, view, cfg):
        """The part of the queries without positions (B, T, H, K), and the rotated part."""
        if self.query_rank:
            h_BTD = rms_norm(dot(h_BTD, layer["q_down"]), layer["q_norm"], cfg.norm_eps)
        q_BTHKP = dot(h_BTD, layer["q"])
        return q_BTHKP[..., : cfg.head_size], view.rotate(q_BTHKP[..., cfg.head_size :])


def expanded(q_BTHK, q_BTHP, cr_BS1N, layer, softmax):
    """Values (B, T, H, K) by the keys and values of every head, for many new tokens.

    cr: the latents c and the rotated parts r, N = R + P.  softmax: function (q, k, v) -> values.
    Values are padded with zeros to the width of the keys.
    """
    rotary, (H, K) = q_BTHP.shape[-1], q_BTHK.shape[2:]
    c_BSR, r_BS1P = cr_BS1N[:, :, 0, :-rotary], cr_BS1N[..., -rotary:]
    k_BSHK, v_BSHK = (dot(c_BSR, layer[name]) for name in ("k_up", "v_up"))
    q = jnp.concatenate([q_BTHK, q_BTHP], -1)
    k = jnp.concatenate([k_BSHK, jnp.repeat(r_BS1P, H, 2)], -1)
    v = jnp.pad(v_BSHK, ((0, 0),) * 3 + ((0, rotary),))
    return softmax(q, k, v)[..., :K]


def absorbed(q_BTHK, q_BTHP, cr_BS1N, layer, softmax):
    """The values of `expanded` by multi-query attention over latents, for one new token."""
    k_up_RHK = merged(layer["k_up"]).astype(q_BTHK.dtype)
    v_up_RHK = merged(layer["v_up"]).astype(q_BTHK.dtype)
    q = jnp.concatenate([jnp.einsum("BTHK,RHK->BTHR", q_BTHK, k_up_RHK), q_BTHP], -1)
    out_BTHR = softmax(q, cr_BS1N, cr_BS1N)[..., : len(v_up_RHK)]
    return jnp.einsum("BTHR,RHK->BTHK", out_BTHR, v_up_RHK)
