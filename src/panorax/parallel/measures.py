"""Measurements for studies of parallelism: memory, executed collectives, distance of results."""

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
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


def devices_in_a_row(n: int, axis: str) -> Mesh:
    """A mesh of one axis over the first `n` devices. Raises UserError if there are fewer."""
    if n > jax.device_count():
        raise UserError(
            f"this needs {n} devices, there are {jax.device_count()}; "
            f"on a CPU set JAX_NUM_CPU_DEVICES={n} before JAX starts"
        )
    return jax.make_mesh((n,), (axis,), axis_types=(AxisType.Auto,), devices=jax.devices()[:n])


def bytes_on_a_device(tree) -> int:
    """Bytes of the arrays of `tree` on the device of this process that holds the most of them."""
    occupied = {}
    for shard in (shard for x in jax.tree.leaves(tree) for shard in x.addressable_shards):
        occupied[shard.device] = occupied.get(shard.device, 0) + shard.data.nbytes
    return max(occupied.values())


def distance(tree, other) -> float:
    """Euclidean norm of the difference of two trees of arrays, in float64 on the host."""
    difference = jax.tree.map(
        lambda x, y: np.asarray(x, np.float64) - np.asarray(y, np.float64), tree, other
    )
    return float(np.sqrt(sum(np.sum(np.square(d)) for d in jax.tree.leaves(difference))))


@dataclass(frozen=True)
class Collective:
    """A collective of a compiled program."""

    kind: str
    """HLO instruction, such as "all-reduce\""""
    times: int
    """number of executions"""
    arrays: tuple[tuple[str, int], ...]
    """(dtype, elements) of each array of the result on one device"""

    @property
    def elements(self) -> int:
        """Elements of the results of all executions."""
        return self.times * sum(elements for _, elements in self.arrays)

    @property
    def bytes(self) -> int:
        """Bytes of the results of all executions."""
        return self.times * sum(BYTES[dtype] * elements for dtype, elements in self.arrays)


def collectives(program: str) -> list[Collective]:
    """The collectives of a compiled program (`compiled.as_text()`, HLO).

    A collective in the body of a loop counts once per iteration. Raises ValueError if the compiler
    does not know the number of iterations of a loop with collectives.
    """
    bodies = dict(COMPUTATION.findall(program))
    return _executed(re.search(r"^ENTRY %([\w.-]+)", program, re.M).group(1), 1, bodies)


def _executed(name: str, times: int, bodies: dict[str, str]) -> list[Collective]:
    """The collectives of a computation that is executed `times` times."""
    executed = []
    for line in bodies[name].splitlines():
        if match := COLLECTIVE.search(line):
            shapes, kind = match.groups()
            executed.append(Collective(kind, times, _arrays(shapes)))
        for role, names in CALLED.findall(line):
            trips = TRIPS.search(line) if role == "body" else None
            for called in (n for n in re.findall(r"%([\w.-]+)", names) if n in bodies):
                inside = _executed(called, times * int(trips.group(1)) if trips else times, bodies)
                if role == "body" and inside and not trips:
                    raise ValueError(
                        f"the loop {called} has collectives and an unknown number of iterations"
                    )
                executed += inside
    return executed


def _arrays(shapes: str) -> tuple[tuple[str, int], ...]:
    """(dtype, elements) of each array in an HLO shape such as `(f32[2,3], s32[])`."""
    return tuple(
        (dtype, math.prod(int(n) for n in shape.split(",") if n))
        for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", shapes)
    )


def executions(exchanges: list[Collective], kind: str) -> int:
    """Number of executions of the collectives of this kind."""
    return sum(c.times for c in exchanges if c.kind == kind)
