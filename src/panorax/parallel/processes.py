"""Many processes as one run, joined by `jax.distributed`: all execute the same programs.

Results that one process computes alone, such as files that process 0 writes or data that a host
reads, pass through `everyone` or `first`. All processes then continue with the same values and end
for the same reason. With one process, these functions only call their arguments.

During training, an error on one process cannot reach the others, which wait in a collective. It
ends that process, and `jax.distributed` ends the rest with a non-zero exit code. After an exception
this takes at most `LEAVE` seconds. After a kill it is immediate if the network reports it (the
coordinator, or a collective over TCP), and takes at most `HEARTBEAT` seconds otherwise.
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

WAIT = 180  # seconds within which all processes of a job must start
LEAVE = 30  # seconds within which all processes must end
HEARTBEAT = 100  # seconds without a heartbeat after which a process counts as dead
KNOWN = (
    "SLURM, Open MPI, Kubernetes or Cloud TPU, or JAX_COORDINATOR_ADDRESS=HOST:PORT, "
    "JAX_NUM_PROCESSES and JAX_PROCESS_ID"
)


def join() -> None:
    """Joins the other processes of a job that a launcher started, before any use of a device.

    jax detects the cluster, or reads the coordinator from JAX_COORDINATOR_ADDRESS. It does not read
    JAX_NUM_PROCESSES and JAX_PROCESS_ID; if both are set, this function passes them on and disables
    the detection. Raises UserError if there is no cluster. If the other processes do not start
    within `WAIT` seconds, the process prints one line and exits with code 2.
    """
    number, index = _integer("JAX_NUM_PROCESSES"), _integer("JAX_PROCESS_ID")
    search = {} if None in (number, index) else {"cluster_detection_method": "deactivate"}
    # The preemption service would handle SIGTERM itself, and does not know SIGINT.
    jax.config.update("jax_enable_preemption_service", False)
    # After its own timeout, jax aborts with a stack trace: this timer is earlier.
    late = threading.Timer(WAIT, _alone)
    late.daemon = True
    late.start()
    try:
        jax.distributed.initialize(
            num_processes=number,
            process_id=index,
            **search,
            initialization_timeout=2 * WAIT,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=LEAVE,
        )
    except Exception as error:  # every kind of cluster raises its own errors
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
    where = os.environ.get("JAX_COORDINATOR_ADDRESS", "the coordinator of the launcher")
    print(
        f"panorax: not all processes reached {where} within {WAIT} s; "
        "check that all have started and that each can connect to it",
        file=sys.stderr,
        flush=True,
    )
    os._exit(2)


def is_first() -> bool:
    """True on process 0, which alone prints and writes all files except checkpoints."""
    return jax.process_index() == 0


def everyone(f: Callable[[], Any]) -> list:
    """Calls `f()` on every process and returns all values in process order, on every process.

    The values must be JSON-serialisable. If `f()` raises UserError on any process, all processes
    raise the error of the first such process.
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
    """Calls `f()` on process 0 alone; all processes return its value or raise its UserError."""
    return everyone(lambda: f() if is_first() else None)[0]


@contextlib.contextmanager
def on_first(context, otherwise=None) -> Iterator[Any]:
    """Enters `context()` on process 0 and yields its value there, `otherwise` on other processes.

    If entering raises UserError, all processes raise it.
    """
    with contextlib.ExitStack() as stack:
        values = [otherwise]
        first(lambda: values.insert(0, stack.enter_context(context())))
        yield values[0]


def all_here(error: type[BaseException] | None) -> bool:
    """True if all processes leave a block together, with this type of exception or None.

    UserError and Interrupted are raised on every process, other exceptions on one.
    """
    return jax.process_count() == 1 or error is None or issubclass(error, (UserError, Interrupted))


def put(tree, sharding: jax.sharding.Sharding):
    """Places a tree of host arrays, equal on all processes, with `sharding`.

    Each process copies the shards of its own devices.
    """

    def array(x):
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    return jax.tree.map(array, tree)


def gathered(tree, replicated: jax.sharding.Sharding):
    """Copies a whole tree of arrays to one device of each process, whose memory must hold it.

    With one process, returns `tree` unchanged.
    """
    if jax.process_count() == 1:
        return tree
    whole = jax.jit(lambda tree: tree, out_shardings=replicated)(tree)
    return jax.tree.map(lambda x: x.addressable_data(0), whole)


class Vote:
    """The maximum of a number over all processes, which call this together between chunks of work.

    The devices compute the maximum after the queued chunks, and the next call reads it, so that no
    host waits. With many processes, a call therefore returns the maximum of the previous call, and
    the first call returns 0.
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
        previous, self._cast = self._cast, _largest(ballots)
        return 0 if previous is None else int(previous)


@jax.jit
def _largest(x):
    return jnp.max(x)


def _gathered_json(value) -> list:
    """The JSON values of all processes."""
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    longest = int(np.max(multihost_utils.process_allgather(np.int32(len(text)))))
    padded = np.full(-(-longest // 1024) * 1024, ord(" "), np.uint8)
    padded[: len(text)] = text
    return [json.loads(row.tobytes()) for row in multihost_utils.process_allgather(padded)]
