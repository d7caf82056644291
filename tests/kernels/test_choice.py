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


def test_a_mesh_of_devices_has_kernels_only_by_name_in_shard_map(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x = jax.ShapeDtypeStruct((8, 16), jnp.float32)
    program = lambda f: str(jax.make_jaxpr(f)(x))
    with jax.set_mesh(make_mesh("data=1")):
        assert "pallas_call" in program(softmax)
    with jax.set_mesh(make_mesh("data=8")):
        assert "pallas_call" not in program(softmax)
        rows = PartitionSpec("data")
        named = functools.partial(softmax, implementation="triton")
        each = jax.shard_map(named, in_specs=rows, out_specs=rows, check_vma=False)
        assert "pallas_call" in program(each)
