"""Which implementation runs by default."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from pallas_kernels.choice import first_that_runs
from pallas_kernels.softmax import softmax
from panorax.parallel.sharding import make_mesh


def refuses(x):
    raise NotImplementedError("never runs")


def test_the_next_is_tried_only_after_not_implemented(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    every = {"reference": lambda x: "reference", "triton": lambda x: "triton", "mosaic": refuses}
    assert first_that_runs(every, None, 0) == "triton"
    assert first_that_runs(every | {"triton": refuses}, None, 0) == "reference"
    assert first_that_runs({"xla": lambda x: "xla"} | every, "xla", 0) == "xla"
    with pytest.raises(NotImplementedError, match="never runs"):
        first_that_runs(every, "mosaic", 0)
    with pytest.raises(ZeroDivisionError):
        first_that_runs(every | {"triton": lambda x: 1 // x}, None, 0)


def test_kernels_run_where_a_device_has_whole_arrays(monkeypatch):
    """On a mesh of devices only inside shard_map over all axes, without types of variation."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x = jax.ShapeDtypeStruct((8, 16), jnp.float32)
    has_kernel = lambda f: "pallas_call" in str(jax.make_jaxpr(f)(x))
    rows = PartitionSpec("data")
    each = functools.partial(jax.shard_map, softmax, in_specs=rows, out_specs=rows)
    with jax.set_mesh(make_mesh("data=1")):
        assert has_kernel(softmax)
    with jax.set_mesh(make_mesh("data=4,tensor=2")):
        assert not has_kernel(softmax)
        assert has_kernel(each(check_vma=False))
        assert not has_kernel(each(check_vma=True))
        assert not has_kernel(each(check_vma=False, axis_names={"data"}))
