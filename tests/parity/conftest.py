"""Golden cases: outputs of independent implementations, read from `tests/oracles/golden`."""

import contextlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.testing.tolerances import LAYER

GOLDEN = Path(__file__).parents[1] / "oracles" / "golden"


class Case:
    """The arrays of one golden case by name, and the names that were not read."""

    def __init__(self, name: str):
        family, _, case = name.partition("/")
        with np.load(GOLDEN / f"{family}.npz") as file:
            self._arrays = {
                key.removeprefix(case + "/"): file[key]
                for key in file
                if key.startswith(case + "/")
            }
        self.unread = set(self._arrays)

    def __getitem__(self, name: str) -> jax.Array:
        self.unread.discard(name)
        return jnp.asarray(self._arrays[name])

    def group(self, prefix: str) -> dict[str, jax.Array]:
        """All arrays `prefix/<name>`, by name."""
        return {
            name.removeprefix(prefix + "/"): self[name]
            for name in self._arrays
            if name.startswith(prefix + "/")
        }

    def settings(self, name: str = "settings") -> dict:
        """Sizes and rates of the case."""
        self.unread.discard(name)
        return json.loads(str(self._arrays[name]))

    def check_vjp(self, f, inputs: tuple[str, ...], tolerance: float = LAYER["atol"]) -> None:
        """Checks f(inputs) against `out`, and its product with `cotangent` against `grad/<input>`.

        Errors are relative to the largest number of an array if it is above one.
        """

        @jax.jit
        def output_and_gradients(cotangent, *args):
            out, pull_back = jax.vjp(f, *args)
            return out, pull_back(cotangent)

        out, gradients = output_and_gradients(self["cotangent"], *(self[name] for name in inputs))
        ours = {"out": out}
        ours |= {f"grad/{name}": g for name, g in zip(inputs, gradients, strict=True)}
        for name, x in ours.items():
            atol = tolerance * max(1.0, float(jnp.abs(self[name]).max()))
            np.testing.assert_allclose(x, self[name], rtol=0, atol=atol, err_msg=name)


@contextlib.contextmanager
def open_case(name: str):
    """The case `family/case`; fails at the end if an array was not read."""
    case = Case(name)
    yield case
    assert not case.unread, f"{name}: not compared: {', '.join(sorted(case.unread))}"


@pytest.fixture
def golden():
    """`with golden("family/case") as case:` around the comparison."""
    return open_case
