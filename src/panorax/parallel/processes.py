"""Many processes as one run, joined by `jax.distributed`: all execute the same programs, each on its devices' share of the data.

Whatever one process does or finds out alone (the first one writes the run's directory; data are read on every host) passes through `everyone` or
`first`, so that all go on with the same values and end for the same reason. With one process, everything here does the plain thing.

An error of a single process in the midst of training cannot be told to the others, who wait for it in a collective. It ends that process, and
`jax.distributed` the rest, with a non-zero code: within `LEAVE` seconds of an exception; after a kill at once where the network says so
(the coordinator, or a collective over TCP), in any case when its heartbeat has been missing for `HEARTBEAT` seconds.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from panorax.core.errors import Interrupted, UserError

WAIT = 180  # seconds in which all processes of a job have to start
LEAVE = 30  # seconds in which all have to end
HEARTBEAT = 100  # seconds of silence after which a process counts as dead
KNOWN = "SLURM, Open MPI, Kubernetes or Cloud TPU, or JAX_COORDINATOR_ADDRESS=HOST:PORT, JAX_NUM_PROCESSES and JAX_PROCESS_ID"


def join() -> None:
    """Join the other processes of the job that a launcher started; to be called before anything runs on a device.

    jax finds the coordinator, the number of processes and which of them this is, or reads the coordinator from JAX_COORDINATOR_ADDRESS; the other
    two it does not read from the environment. Where both are given there, they hold, and no cluster is looked for.
    Raises UserError where there is no cluster. A process whose others do not come within `WAIT` seconds says so and exits with 2.
    """
    number, index = _integer("JAX_NUM_PROCESSES"), _integer("JAX_PROCESS_ID")
    search = {} if None in (number, index) else {"cluster_detection_method": "deactivate"}
    jax.config.update(
        "jax_enable_preemption_service", False
    )  # it takes SIGTERM for itself, and knows no SIGINT
    late = threading.Timer(WAIT, _alone)  # jax itself aborts, with a stack trace
    late.daemon = True
    late.start()
    try:
        jax.distributed.initialize(
            num_processes=number, process_id=index, **search,
            initialization_timeout=2 * WAIT, heartbeat_timeout_seconds=HEARTBEAT, shutdown_timeout_seconds=LEAVE,
        )  # fmt: skip
    except Exception as error:  # every kind of cluster has its own
        missing = "should be defined" in str(error) or "must be defined" in str(error)
        reason = "no cluster was found" if missing else str(error).strip().splitlines()[0]
        raise UserError(f"--distributed: {reason}; it needs {KNOWN}") from error
    finally:
        late.cancel()


def _integer(name: str) -> int | None:
    text = os.environ.get(name)
    if text is not None and not text.isdecimal():
        raise UserError(f"{name} must be a whole number, got {text!r}")
    return text and int(text)


def _alone() -> None:
    where = os.environ.get("JAX_COORDINATOR_ADDRESS", "the coordinator that the launcher named")
    print(
        f"panorax: not all processes have met at {where} within {WAIT} s; did all start, and does each reach it?",
        file=sys.stderr,
        flush=True,
    )
    os._exit(2)


def is_first() -> bool:
    """True on process 0, the only one that writes and prints."""
    return jax.process_index() == 0


def everyone(f: Callable[[], Any]) -> list:
    """The values (JSON) that `f()` returns on all processes, in their order.

    If any process raises UserError, all raise that of the lowest of them.
    """
    if jax.process_count() == 1:
        return [f()]
    try:
        outcome = {"value": f()}
    except UserError as error:
        outcome = {"error": str(error)}
    outcomes = _gathered_json(outcome)
    for outcome in outcomes:
        if "error" in outcome:
            raise UserError(outcome["error"])
    return [outcome["value"] for outcome in outcomes]


def first(f: Callable[[], Any]) -> Any:
    """What `f()` returns or raises on process 0, the only one that calls it."""
    return everyone(lambda: f() if is_first() else None)[0]


@contextlib.contextmanager
def on_first(context, otherwise=None) -> Iterator[Any]:
    """Enters `context()` on process 0 and yields it there, `otherwise` on the others; all raise its UserError."""
    with contextlib.ExitStack() as stack:
        held = [otherwise]
        first(lambda: held.insert(0, stack.enter_context(context())))
        yield held[0]


def all_here(error: type[BaseException] | None) -> bool:
    """True if all processes leave this block together: UserError and Interrupted are raised on every process, other
    exceptions on one."""
    return jax.process_count() == 1 or error is None or issubclass(error, (UserError, Interrupted))


def put(tree, sharding: jax.sharding.Sharding):
    """Arrays with this sharding from host arrays that are equal on every process; each copies its own shards."""

    def array(x):
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    return jax.tree.map(array, tree)


def gathered(tree, replicated: jax.sharding.Sharding):
    """A tree of arrays as a copy on one device of each process; it must fit there whole."""
    if jax.process_count() == 1:
        return tree
    whole = jax.jit(lambda tree: tree, out_shardings=replicated)(tree)
    return jax.tree.map(lambda x: x.addressable_data(0), whole)


class Vote:
    """The largest of a number that every process gives, called by all between chunks of work.

    The vote travels behind the chunks on the devices and is read at the next call, so nobody waits for it: with many processes the answer is
    that to the call before, 0 at first.
    """

    def __init__(self):
        self._cast = None

    def __call__(self, number: int) -> int:
        if jax.process_count() == 1:
            return number
        mesh = jax.make_mesh(
            (jax.device_count(),), ("devices",), axis_types=(jax.sharding.AxisType.Auto,)
        )
        ballots = put(
            np.full(jax.device_count(), number, np.int32),
            NamedSharding(mesh, PartitionSpec("devices")),
        )
        before, self._cast = self._cast, _largest(ballots)
        return 0 if before is None else int(before)


@jax.jit
def _largest(x):
    return jnp.max(x)


def _gathered_json(value) -> list:
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    longest = int(np.max(multihost_utils.process_allgather(np.int32(len(text)))))
    padded = np.full(-(-longest // 1024) * 1024, ord(" "), np.uint8)
    padded[: len(text)] = text
    return [json.loads(row.tobytes()) for row in multihost_utils.process_allgather(padded)]
