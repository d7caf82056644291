import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.ranges import ConfigError
from panorax.nets.convolutional import resnet
from panorax.testing.tolerances import COARSE, LAYER

DIFFERENT = {"atol": 1e-3}
"""logits that differ by more are not the same"""
DRAWN = {"rtol": 0.02}
"""sampling error of the deviation of 73,728 weights"""
NOISE = {"atol": 0.03}
"""sampling error of shares and means of 4,000 draws"""

CFG = resnet.Config(widths=(4, 4), blocks=(1, 2), zero_branches=True)
DROPPING = dataclasses.replace(CFG, stochastic_depth=0.5)
KEY = jax.random.key(0)
NET = resnet.net(CFG, (6, 5, 3), 10)
FRESH, EXTRA = jax.jit(NET.init)(KEY)
RNG = np.random.default_rng(0)
PARAMS = jax.tree.map(lambda x: x + 0.3 * RNG.normal(size=x.shape).astype(np.float32), FRESH)
X = RNG.normal(size=(6, 6, 5, 3)).astype(np.float32)
apply = jax.jit(resnet.apply, static_argnames=("cfg", "train"))


def assert_every_leaf_differs(a, b):
    chex.assert_trees_all_equal_structs(a, b)
    equal = jax.tree.map(np.array_equal, a, b)
    assert not any(jax.tree.leaves(equal)), equal


def test_training_updates_every_running_average_and_evaluation_none():
    _, after = apply(PARAMS, EXTRA, X, cfg=CFG, train=True)
    assert_every_leaf_differs(after, EXTRA)
    _, evaluated = apply(PARAMS, EXTRA, X, cfg=CFG)
    chex.assert_trees_all_equal(evaluated, EXTRA)
    _, twice = apply(PARAMS, after, X, cfg=CFG, train=True)
    assert_every_leaf_differs(twice, after)


def test_rows_are_independent_in_evaluation_and_share_statistics_in_training():
    changed = np.concatenate([X[:1], X[:0:-1] + 1])
    for train, equal in ((False, True), (True, False)):
        a, b = (apply(PARAMS, EXTRA, x, cfg=CFG, train=train)[0] for x in (X, changed))
        assert np.allclose(a[0], b[0], **LAYER) is equal
        assert not np.allclose(a[1], b[1], **DIFFERENT)


def test_zero_branches_make_initial_blocks_the_identity():
    moved = jax.tree.map(lambda x: x, FRESH)
    moved["stages"][1]["rest"]["branch"][0]["w"] += 1.0
    logits, _ = apply(FRESH, EXTRA, X, cfg=CFG, train=True)
    np.testing.assert_array_equal(logits, apply(moved, EXTRA, X, cfg=CFG, train=True)[0])
    assert np.std(logits) > 0.05
    plain = resnet.spec(dataclasses.replace(CFG, zero_branches=False), (6, 5, 3), 10)
    last = lambda spec: [block["branch"][-1]["scale"].init for block in spec["stages"][0].values()]
    assert last(NET.spec) == [resnet.ZEROS] and last(plain) == [resnet.ONES]


def test_initial_kernels_have_the_deviation_of_their_fan_out():
    p = resnet.spec(resnet.Config(), (8, 8, 3), 10)["stages"][1]["first"]["branch"][0]["w"]
    assert p.shape == (3, 3, 64, 128)
    np.testing.assert_allclose(np.std(p.init(KEY, p.shape)), np.sqrt(2 / (9 * 128)), **DRAWN)


def test_weight_decay_applies_only_to_kernels():
    declared = jax.tree_util.tree_leaves_with_path(NET.spec, is_leaf=lambda x: hasattr(x, "decay"))
    decay = {path[-1].key: p.decay for path, p in declared}
    assert decay == {"w": True, "scale": False, "bias": False, "b": False}


def test_later_branches_are_dropped_more_often_and_the_mean_factor_is_one():
    factors = np.asarray(resnet.branch_factors(KEY, DROPPING, 4000))
    np.testing.assert_allclose(np.mean(factors == 0, 1), [1 / 6, 2 / 6, 3 / 6], **NOISE)
    np.testing.assert_allclose(factors.mean(1), 1, **NOISE)
    np.testing.assert_allclose(factors[-1][factors[-1] > 0], 2)


def test_stochastic_depth_follows_its_key_and_only_in_training():
    run = lambda key, train: apply(PARAMS, EXTRA, X, cfg=DROPPING, key=key, train=train)[0]
    np.testing.assert_array_equal(run(KEY, True), run(KEY, True))
    assert not np.allclose(run(KEY, True), run(jax.random.key(1), True), **DIFFERENT)
    np.testing.assert_array_equal(run(KEY, False), apply(PARAMS, EXTRA, X, cfg=CFG)[0])


def test_the_weights_of_a_dropped_branch_do_not_affect_the_image():
    key = jax.random.key(2)
    moved = jax.tree.map(lambda x: x, PARAMS)
    moved["stages"][1]["rest"]["branch"][0]["w"] += RNG.normal(size=(1, 3, 3, 4, 4))
    a, b = (apply(p, EXTRA, X, cfg=DROPPING, key=key, train=True)[0] for p in (PARAMS, moved))
    dropped = np.asarray(resnet.branch_factors(key, DROPPING, len(X)))[-1] == 0
    assert 0 < dropped.sum() < len(X)
    np.testing.assert_array_equal((a == b).all(1), dropped)


def test_half_precision_activations_give_float32_logits_and_statistics():
    half = dataclasses.replace(CFG, dtype="bfloat16")
    logits, after = apply(PARAMS, EXTRA, X, cfg=half, train=True)
    exact, expected = apply(PARAMS, EXTRA, X, cfg=CFG, train=True)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves((logits, after)))
    np.testing.assert_allclose(logits, exact, **COARSE)
    chex.assert_trees_all_close(after, expected, **COARSE)


def test_max_pool_takes_the_largest_of_nine_pixels():
    x = np.arange(2 * 5 * 4 * 1, dtype=np.float32).reshape(2, 5, 4, 1) * [[[[-1.0]]]]
    pooled = resnet.max_pool(jnp.asarray(x, jnp.float32))
    chex.assert_shape(pooled, (2, 3, 2, 1))
    assert pooled[0, 0, 0, 0] == x[0, :2, :2].max() and pooled[1, 1, 1, 0] == x[1, 1:4, 1:4].max()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"blocks": (2, 2)}, r"net.blocks \(2, 2\) must have one entry for each stage"),
        ({"blocks": (), "widths": ()}, "must have one entry for each stage"),
        ({"stochastic_depth": 1.0}, "net.stochastic-depth must be below 1"),
        ({"widths": (8, 0)}, "widths must be at least 1"),
    ],
)
def test_an_inconsistent_config_is_rejected(fields, message):
    with pytest.raises(ConfigError, match=message):
        resnet.Config(**fields)
