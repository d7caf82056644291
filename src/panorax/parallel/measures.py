"""What the studies of this volume measure: bytes on a device, collectives that a compiled program executes, how far two results lie apart."""

import math
import re
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from panorax.core.errors import UserError

BYTES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "bf16": 2,
    "f16": 2,
    "s32": 4,
    "u32": 4,
    "f32": 4,
    "s64": 8,
    "u64": 8,
    "f64": 8,
}
COMPUTATION = re.compile(r"^(?:ENTRY )?%([\w.-]+) \([^\n]*\{\n(.*?)^\}", re.M | re.S)
COLLECTIVE = re.compile(
    r" = (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
CALLED = re.compile(r"(\w+)=\{?(%[\w.-]+(?:, %[\w.-]+)*)")


def devices_in_a_row(n: int, axis: str) -> Mesh:
    """A mesh of one axis over the first `n` devices. Raises UserError where there are fewer."""
    if n > jax.device_count():
        raise UserError(
            f"this needs {n} devices, there are {jax.device_count()}; on a CPU set JAX_NUM_CPU_DEVICES={n} before JAX starts"
        )
    return jax.make_mesh((n,), (axis,), axis_types=(AxisType.Auto,), devices=jax.devices()[:n])


def bytes_on_a_device(tree) -> int:
    """Bytes that the arrays of `tree` occupy on the device that holds most of them."""
    held = {}
    for shard in (shard for x in jax.tree.leaves(tree) for shard in x.addressable_shards):
        held[shard.device] = held.get(shard.device, 0) + shard.data.nbytes
    return max(held.values())


def distance(tree, other) -> float:
    """Euclidean norm of the difference of two trees of arrays, in float64 on the host."""
    difference = jax.tree.map(
        lambda x, y: np.asarray(x, np.float64) - np.asarray(y, np.float64), tree, other
    )
    return float(np.sqrt(sum(np.sum(np.square(d)) for d in jax.tree.leaves(difference))))


@dataclass(frozen=True)
class Collective:
    """One instruction with which devices exchange arrays: how often it is executed, and its result on one device as (dtype, elements)."""

    kind: str
    times: int
    arrays: tuple[tuple[str, int], ...]

    @property
    def elements(self) -> int:
        """Elements of the result, of all executions together."""
        return self.times * sum(elements for _, elements in self.arrays)

    @property
    def bytes(self) -> int:
        """Bytes of the result, of all executions together."""
        return self.times * sum(BYTES[dtype] * elements for dtype, elements in self.arrays)


def collectives(program: str) -> list[Collective]:
    """The collectives of a compiled program (`compiled.as_text()`, HLO); one in the body of a loop is executed in each of its turns.

    Raises ValueError for a loop with collectives whose number of turns the compiler does not know.
    """
    bodies = dict(COMPUTATION.findall(program))
    return _executed(re.search(r"^ENTRY %([\w.-]+)", program, re.M).group(1), 1, bodies)


def _executed(name: str, times: int, bodies: dict[str, str]) -> list[Collective]:
    found = []
    for line in bodies[name].splitlines():
        if exchange := COLLECTIVE.search(line):
            shapes = re.findall(r"(\w+)\[([\d,]*)\]", exchange.group(1))
            arrays = tuple(
                (dtype, math.prod(int(n) for n in shape.split(",") if n)) for dtype, shape in shapes
            )
            found.append(Collective(exchange.group(2), times, arrays))
        for role, names in CALLED.findall(line):
            turns = (
                re.search(r'"known_trip_count":\{"n":"(\d+)"\}', line) if role == "body" else None
            )
            for called in (n for n in re.findall(r"%([\w.-]+)", names) if n in bodies):
                inside = _executed(called, times * int(turns.group(1)) if turns else times, bodies)
                if role == "body" and inside and not turns:
                    raise ValueError(
                        f"the loop {called} has collectives, and how often it turns is not known"
                    )
                found += inside
    return found


def executions(found: list[Collective], kind: str) -> int:
    """How often collectives of this kind are executed."""
    return sum(c.times for c in found if c.kind == kind)
