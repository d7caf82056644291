import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec
from panorax.core.spec import P

normal = jax.nn.initializers.normal(1.0)
TREE = {"a": P((3, 4), ("embed", "mlp"), normal), "b": {"c": P((4,), ("mlp",), normal)}}


def test_init_matches_abstract_and_count(key):
    params = spec.init(TREE, key)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, spec.abstract(TREE))
    assert spec.count(TREE) == sum(x.size for x in jax.tree.leaves(params)) == 16


def test_adding_a_parameter_leaves_the_others_unchanged(key):
    before, after = spec.init(TREE, key), spec.init({**TREE, "new": P((2,), (None,), normal)}, key)
    np.testing.assert_array_equal(before["b"]["c"], after["b"]["c"])
    assert not np.array_equal(before["a"][0], before["b"]["c"])


def test_parameters_of_one_name_in_two_places_differ(key):
    layer = {"w": P((3, 4), ("embed", "mlp"), normal)}
    params = spec.init({"a": layer, "b": {"a": layer}, "c": [layer, layer]}, key)
    first = [x[0, 0] for x in jax.tree.leaves(params)]
    assert len({float(x) for x in first}) == 4


def test_stack_draws_every_layer_independently(key):
    stacked = spec.stack(TREE, 5)
    params = spec.init(stacked, key)
    assert params["a"].shape == (5, 3, 4) and stacked["a"].axes == ("layers", "embed", "mlp")
    assert len({float(x) for x in params["a"][:, 0, 0]}) == 5


def test_stack_keeps_the_scale_of_fan_in_initialisers(key):
    wide = spec.stack({"w": P((400, 10), ("embed", "mlp"), jax.nn.initializers.lecun_normal())}, 8)
    assert abs(float(jnp.std(spec.init(wide, key)["w"])) - 400**-0.5) < 0.005


def test_stacking_does_not_change_which_parameters_decay():
    assert spec.decays(spec.stack(TREE, 2)) == {"a": True, "b": {"c": False}}


def test_shape_and_axes_must_agree():
    with pytest.raises(ValueError, match="has 1 axis names"):
        P((3, 4), ("embed",), normal)
