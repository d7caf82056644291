"""Attention of heads: multi-head, grouped-query and multi-query attention.

    out = W_o softmax(rotate(W_q h) rotate(W_k h)^T / sqrt(K)) W_v h

Each group of H / G query heads shares one key/value head: multi-head attention has G = H,
multi-query attention G = 1 and grouped-query attention any G between. A token takes 2 G K numbers
of the cache in each layer.
Source: Vaswani et al. 2017; Shazeer 2019, arXiv:1911.02150; Ainslie et al. 2023, arXiv:2305.13245.
"""

import jax

from panorax.core.ranges import checked
from panorax.core.spec import P
from panorax.nets.decoders import cache
from panorax.ops.dot import dot


def projections(h_BTD, layer, cfg):
    """Queries (B, T, H, K) before rotation; keys before rotation and values, (B, T, G, K)."""
    q_BTHK = dot(h_BTD, layer["q"])
    k_BTGK = dot(h_BTD, layer["k"])
    v_BTGK = dot(h_BTD, layer["v"])
    return q_BTHK, k_BTGK, v_BTGK


@checked
class Heads:
    """Multi-head, grouped-query or multi-query attention, by `n_kv_heads`."""

    def check(self, cfg):
        """Raises ValueError if the sizes of the model `cfg` do not fit this attention."""

    def rotated(self, cfg) -> int:
        """Width of the queries and keys that positions rotate."""
        return cfg.head_size

    def spec(self, cfg, to_residual) -> dict[str, P]:
        """Parameters of a layer; `to_residual` initialises the output projection."""
        D, H, G, K = cfg.d_model, cfg.n_heads, cfg.n_kv_heads, cfg.head_size
        normal = jax.nn.initializers.normal(D**-0.5)
        return {
            "q": P((D, H, K), ("embed", "heads", "head_dim"), normal, outputs=2),
            "k": P((D, G, K), ("embed", "kv_heads", "head_dim"), normal, outputs=2),
            "v": P((D, G, K), ("embed", "kv_heads", "head_dim"), normal, outputs=2),
            "o": P((H, K, D), ("heads", "head_dim", "embed"), to_residual),
        }

    def empty(self, cfg, batch: int, room: int) -> cache.Slots:
        """Keys and values of no token, for `batch` rows of texts of `room` tokens."""
        return cache.slots(cfg, ((cfg.n_kv_heads, cfg.head_size),) * 2, batch, room)

    def attend(self, h_BTD, layer, view, cfg, project=projections, scale=None, cap=None):
        """Output (B, T, D), and what `view` keeps.

        view: a pass of `panorax.nets.decoders.passes`.
        project: function (h, layer, cfg) -> (q, k, v), by default `projections`.
        scale: of the logits, by default 1 / sqrt(K).  cap: soft cap of the logits.
        """
        q_BTHK, k_BTGK, v_BTGK = project(h_BTD, layer, cfg)
        q_BTHK, k_BTGK = view.rotate(q_BTHK), view.rotate(k_BTGK)
        (k_BSGK, v_BSGK), key_BS, kept = view.remember((k_BTGK, v_BTGK))
        out_BTHK = view.softmax(q_BTHK, k_BSGK, v_BSGK, key_BS, scale, cap)
        return dot(out_BTHK, layer["o"], 2), kept
