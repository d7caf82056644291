"""Every positions, attention, feed-forward network and cache that a config of a decoder names."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.nets.decoders import decoder, gemma, latent, llama, qwen
from panorax.nets.decoders.cache import Int8
from panorax.nets.decoders.feed_forward import ACTIVATIONS, GATES, Gated, Plain
from panorax.nets.decoders.generate import decode
from panorax.nets.decoders.heads import projections
from panorax.nets.decoders.latent import Latent
from panorax.nets.decoders.linear import Linear
from panorax.ops.dot import dot
from panorax.ops.linear_attention import features, parallel_sums
from panorax.ops.positions import Alibi, Learned, NoPE, Sinusoidal
from panorax.ops.sampling import Sampling
from panorax.testing.tolerances import CACHED, SAME

CFG = llama.Model(vocab=17, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=24)
B, T, ROOM = 2, 13, 20
TOKENS = np.random.default_rng(0).integers(0, CFG.vocab, (B, T)).astype(np.int32)
ROUNDED = {"rtol": 0.0, "atol": 0.03}
"""logits whose keys and values have 8 bits, relative to the largest logit"""
VARIANTS = {
    "sinusoidal": {"positions": Sinusoidal()},
    "learned": {"positions": Learned(ROOM)},
    "alibi": {"positions": Alibi()},
    "no positions": {"positions": NoPE()},
    "one key/value head": {"n_kv_heads": 1},
    "window": {"windows": (4,)},
    "windows of two widths": {"windows": (4, 6)},
    "window and sinks": {"windows": (3,), "sinks": 2},
    "window, sinks and alibi": {"windows": (3,), "sinks": 2, "positions": Alibi()},
    "latent": {"attention": Latent(rank=6, rotary=4)},
    "latent with a window": {"attention": Latent(rank=6, query_rank=5, rotary=4), "windows": (4,)},
    "linear": {"attention": Linear(chunk=4)},
    "linear with alibi": {"attention": Linear(chunk=4), "positions": Alibi()},
    "squared relu": {"feed_forward": Plain("squared-relu")},
}


@functools.cache
def drawn(cfg):
    params = core_spec.init(decoder.spec(cfg), jax.random.key(1))
    return jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(2), x.shape), params)


@functools.partial(jax.jit, static_argnames="cfg")
def extend(params, tokens, new_B, cache, cfg):
    return decoder.extend(params, tokens, new_B, cache, cfg)


apply = jax.jit(decoder.apply, static_argnames="cfg")


def cached(cfg):
    """Logits of all tokens, and the cache: two pieces of 4 tokens and padding, then 5 tokens."""
    params, cache, start, logits = drawn(cfg), decoder.empty_cache(cfg, B, ROOM), 0, []
    for n, padding in ((4, 1), (4, 1), *[(1, 0)] * 5):
        tokens = np.pad(TOKENS[:, start : start + n], ((0, 0), (0, padding)), constant_values=5)
        piece, cache = extend(params, tokens, np.full(B, n, np.int32), cache, cfg)
        logits.append(piece[:, :n])
        start += n
    return np.concatenate(logits, 1), cache


@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS)
def test_cached_logits_equal_the_full_pass_of_every_variant(change):
    cfg = dataclasses.replace(CFG, **change)
    whole = apply(drawn(cfg), TOKENS, cfg=cfg)
    with_cache, cache = cached(cfg)
    np.testing.assert_allclose(with_cache, whole, **CACHED)
    np.testing.assert_array_equal(cache.length, [T] * B)


def test_rows_of_different_lengths_share_a_ring():
    cfg = dataclasses.replace(CFG, windows=(3,), sinks=2)
    lengths, params = np.array([6, 9], np.int32), drawn(cfg)
    whole = decoder.apply(params, jnp.asarray(TOKENS), cfg)
    cache = decoder.empty_cache(cfg, B, ROOM)
    _, cache = extend(params, TOKENS[:, :10], lengths, cache, cfg)
    for step in range(3):
        new = TOKENS[np.arange(B), lengths + step][:, None]
        logits, cache = extend(params, new, np.ones(B, np.int32), cache, cfg)
        np.testing.assert_allclose(logits[:, 0], whole[np.arange(B), lengths + step], **CACHED)


@pytest.mark.parametrize("change", [{}, {"windows": (4,)}, {"attention": Latent(6, None, 4)}])
def test_a_cache_of_8_bits_changes_logits_little(change):
    exact, rounded = (
        cached(dataclasses.replace(CFG, **change, **form))[0] for form in ({}, {"cache": Int8()})
    )
    largest = np.abs(exact).max()
    np.testing.assert_allclose(rounded / largest, exact / largest, **ROUNDED)
    assert not np.allclose(rounded, exact, **SAME)


@pytest.mark.parametrize(
    "change, numbers",
    [
        ({}, 2 * 2 * 4 * ROOM),
        ({"n_kv_heads": 1}, 2 * 1 * 4 * ROOM),
        ({"windows": (4,), "sinks": 2}, 2 * 2 * 4 * 6),
        ({"windows": (4, 0)}, 2 * 2 * 4 * ROOM),
        ({"attention": Latent(6, None, 4)}, (6 + 4) * ROOM),
        ({"attention": Linear()}, 4 * 4 * (4 + 1)),
        ({"cache": Int8()}, 2 * 2 * ROOM * (4 / 4 + 1)),
    ],
)
def test_bytes_of_a_row_follow_from_the_sizes(change, numbers):
    """K = 4, G = 2, H = 4 and two layers; an int8 entry has a scale of 4 bytes."""
    cfg = dataclasses.replace(CFG, **change)
    assert decoder.footprint(cfg, ROOM)["cache_bytes_of_a_row"] == 4 * CFG.n_layers * numbers


@pytest.mark.parametrize("change", [{"windows": (30,)}, {"attention": Linear()}], ids=str)
def test_a_growing_cache_generates_the_tokens_of_a_large_one(change, monkeypatch):
    cfg = dataclasses.replace(CFG, **change)
    params = jax.tree.map(lambda x: 3 * x, drawn(cfg))

    def tokens():
        options = {"cfg": cfg, "sampling": Sampling(temperature=0.0), "chunk": 8}
        pieces = decode(params, [[1, 2], [3]], jax.random.key(0), new=40, ends=(99,), **options)
        return np.concatenate(list(pieces), 1)

    expected = tokens()
    monkeypatch.setattr("panorax.nets.decoders.generate.SMALLEST_ROOM", 24)
    np.testing.assert_array_equal(tokens(), expected)


def test_sinks_stay_visible_and_other_old_tokens_do_not():
    """The last of 13 tokens sees the tokens 0, 1 and 10 to 12 of a single layer."""
    cfg = dataclasses.replace(CFG, windows=(3,), sinks=2, n_layers=1)
    last = lambda tokens: apply(drawn(cfg), tokens, cfg=cfg)[0, -1]
    before = last(TOKENS[:1])
    seen = []
    for t in range(T):
        changed = TOKENS[:1].copy()
        changed[0, t] = (changed[0, t] + 1) % cfg.vocab
        seen.append(bool(np.any(np.abs(last(changed) - before) > SAME["atol"])))
    assert seen == [t < 2 or t >= 10 for t in range(T)]


def test_absorbed_products_equal_the_expanded_ones():
    cfg = dataclasses.replace(CFG, attention=Latent(rank=6, rotary=4))
    layer = jax.tree.map(lambda x: x[0], drawn(cfg)["layers"])
    rng = np.random.default_rng(1)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    q, p, cr = draw(B, 1, 4, 4), draw(B, 1, 4, 4), draw(B, 9, 1, 10)
    view = decoder.full_pass(jnp.full((B, 1), 8), cfg)
    softmax = lambda q, k, v: view.softmax(q, k, v, jnp.arange(9)[None], scale=0.3)
    plain, short = (f(q, p, cr, layer, softmax) for f in (latent.expanded, latent.absorbed))
    np.testing.assert_allclose(short, plain, **CACHED)


def test_masks_and_slopes_act_together():
    """A mask of documents equals two separate texts under ALiBi with sinks."""
    cfg = dataclasses.replace(CFG, positions=Alibi())
    document = jnp.array([[0] * 5 + [1] * 8])
    position = jnp.array([[*range(5), *range(8)]])
    mask, tokens = document[:, None] == document[:, :, None], jnp.asarray(TOKENS)
    packed = decoder.apply(drawn(cfg), tokens, cfg, position_BT=position, mask_BTS=mask)
    parts = [decoder.apply(drawn(cfg), part, cfg) for part in (tokens[:, :5], tokens[:, 5:])]
    np.testing.assert_allclose(packed, jnp.concatenate(parts, 1), **CACHED)


def test_linear_attention_refuses_masks_windows_and_sinks():
    cfg = dataclasses.replace(CFG, attention=Linear())
    with pytest.raises(ValueError, match="has no mask"):
        decoder.apply(drawn(cfg), jnp.asarray(TOKENS), cfg, mask_BTS=jnp.ones((1, T, T), bool))
    for change in ({"windows": (0, 3)}, {"sinks": 1}):
        with pytest.raises(ValueError, match="no windows and no sinks"):
            dataclasses.replace(cfg, **change)
    with pytest.raises(ValueError, match="must be even, got 3"):
        dataclasses.replace(CFG, attention=Latent(rotary=3))


@pytest.mark.parametrize("family", [qwen, gemma])
def test_families_run_with_the_parts_that_they_have(family):
    parts = {qwen: {"attention": Linear()}, gemma: {"attention": Latent(6, None, 4)}}[family]
    sizes = {name: getattr(CFG, name) for name in ("vocab", "d_model", "n_layers", "d_ff")}
    cfg = family.Model(**sizes | parts | {"positions": Learned(ROOM), "feed_forward": Plain()})
    whole = apply(drawn(cfg), TOKENS, cfg=cfg)
    np.testing.assert_allclose(cached(cfg)[0], whole, **CACHED)


def test_feed_forward_networks_follow_their_equations():
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    h, up, gate, down = draw(3, 2, 4), draw(4, 5), draw(4, 5), draw(5, 4)
    layer = {"up": up, "gate": gate, "down": down}
    gelu = functools.partial(jax.nn.gelu, approximate=True)
    formulas = {
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "none": lambda x: x,
        "relu": lambda x: np.maximum(x, 0),
        "gelu": gelu,
        "silu": lambda x: x / (1 + np.exp(-x)),
        "squared-relu": lambda x: np.maximum(x, 0) ** 2,
    }
    for name in GATES:
        expected = (formulas[name](h @ gate) * (h @ up)) @ down
        np.testing.assert_allclose(Gated(name).apply(h, layer), expected, **CACHED)
    for name in ACTIVATIONS:
        expected = formulas[name](h @ up) @ down
        np.testing.assert_allclose(Plain(name).apply(h, layer), expected, **CACHED)


def test_8_bits_have_the_nearest_of_255_levels():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 64)), jnp.float32).at[0].set(0)
    stored = Int8().encode(x)
    step = np.abs(x).max(-1, keepdims=True) / 127
    assert (np.abs(Int8().decode(stored, "float32") - x) <= 0.51 * step).all()
    assert stored["int8"].dtype == np.int8 and np.abs(stored["int8"]).max() == 127


def test_linear_attention_divides_by_weights_before_rotation():
    cfg = dataclasses.replace(CFG, attention=Linear(chunk=4), n_kv_heads=4)
    layer = jax.tree.map(lambda x: x[0], drawn(cfg)["layers"])
    h = jnp.asarray(np.random.default_rng(0).normal(size=(B, 6, 16)), jnp.float32)
    view = decoder.full_pass(jnp.broadcast_to(jnp.arange(6), (B, 6)), cfg)
    out, _ = cfg.attention.attend(h, layer, view, cfg)
    q, k, v = projections(h, layer, cfg)
    f, g, none = features(q), features(k), jnp.zeros(4)
    values = parallel_sums(view.rotate(f), view.rotate(g), v, none)
    values /= parallel_sums(f, g, jnp.ones((B, 6, 4, 1)), none)
    np.testing.assert_allclose(out, dot(values, layer["o"], 2), **CACHED)
