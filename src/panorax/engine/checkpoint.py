"""Checkpoints by orbax: saved asynchronously, pruned to the newest `keep`, restored onto any mesh.

Beside each complete checkpoint lies its seal, the SHA-256 of its files. A checkpoint that differs
from its seal or cannot be read is renamed to `STEP.damaged`, and the previous checkpoint is used.
With many processes, all write to the same directory and restore the same step. Process 0 writes and
checks the seals, and renames damaged checkpoints.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import jax

from panorax.core.errors import UserError
from panorax.core.state import State
from panorax.parallel import processes


class Checkpoints:
    """The checkpoints of one run in `directory`; leaving the context waits for the last save."""

    def __init__(self, directory: Path, keep: int = 2):
        self.directory = Path(directory).absolute()
        self._keep = keep
        self._saving = None
        self._failed = False
        self._open()

    def _open(self) -> None:
        """Opens the directory. Checkpoints whose damage keeps orbax from that are renamed."""
        try:
            self._orbax = self._opened()
        except Exception as error:  # orbax and its storage raise errors of any type
            reason = _first_line(error)
            processes.first(lambda: set_aside(self.directory, damages(self.directory, reason)))
            self._orbax = self._opened()

    def _opened(self):
        from orbax.checkpoint import v1 as ocp

        context = ocp.Context()
        # If creating a directory fails, orbax's threads would wait 5 minutes for it, also at exit.
        context.asynchronous.create_directories_asynchronously = False
        # Replicas divide the writing of large arrays; each slice of a small one would be a program.
        context.array.saving.min_slice_bytes_for_replica_parallel = 1 << 20
        return ocp.training.Checkpointer(
            self.directory,
            preservation_policy=ocp.training.preservation_policies.LatestN(self._keep),
            cleanup_tmp_directories=True,
            context=context,
        )

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if not processes.all_here(error):
            return
        try:
            self._finish()
        finally:
            # After a failed save, orbax raises the same error again when it closes.
            reported = [Exception] if self._failed else []
            with contextlib.suppress(*reported):
                self._orbax.close()

    def latest(self) -> int | None:
        """Step of the newest checkpoint, None if there is none."""
        newest = self._orbax.latest
        return None if newest is None else newest.step

    def save(self, state: State) -> None:
        """Starts saving `state` under its step, unless that step is saved already.

        `state` has been copied to the host when this returns, so the caller may donate it. Raises
        UserError if this or the previous checkpoint cannot be written.
        """
        step = int(state.step)
        if step == self.latest():
            return
        self._finish()

        def start():
            saving = self._orbax.save_checkpointables_async(step, {"state": state}, force=True)
            self._saving = (step, saving)

        self._write(step, start)

    def restore(self, abstract: State) -> State:
        """The newest undamaged checkpoint, with the shapes, dtypes and shardings of `abstract`.

        `abstract` is a tree of ShapeDtypeStruct. Only damaged checkpoints are renamed. Raises
        UserError if the newest undamaged one has another structure, or if there is none.
        """
        self._finish()
        steps = processes.first(lambda: saved(self.directory))
        if not steps:
            raise UserError(f"no checkpoint to resume from in {self.directory}")
        reasons = {}
        for step in steps:
            state, reason = None, processes.first(lambda: damage(self.directory, step))
            if reason is None:
                state, reason = self._load(step, abstract)
                if reason and processes.first(lambda: _seal_of(self.directory, step).exists()):
                    raise UserError(
                        f"the checkpoint of step {step} in {self.directory} is whole but does not "
                        f"fit this config: {reason}"
                    )
            if reason is None:
                self._set_aside(reasons)
                return state
            reasons[step] = reason
        newest = steps[0]
        raise UserError(
            f"no checkpoint in {self.directory} is whole and fits this config; "
            f"step {newest}: {reasons[newest]}"
        )

    def _load(self, step: int, abstract: State) -> tuple[State | None, str | None]:
        """The state saved at `step`, and the reason why a process could not load it, if any."""
        loaded = {}

        def load():
            try:
                stored = _shapes(self._orbax.checkpointables_metadata(step).metadata["state"])
                for name, shape in _shapes(abstract).items():  # orbax would leave reads unfinished
                    if stored.get(name, shape) != shape:
                        return f"{name} has the shape {stored[name]}, in this config {shape}"
                loaded.update(self._orbax.load_checkpointables(step, {"state": abstract}))
            except Exception as error:  # orbax and its storage raise errors of any type
                return _first_line(_root(error)).partition(". ")[0]

        reason = next(filter(None, processes.everyone(load)), None)
        return loaded.get("state"), reason

    def _finish(self) -> None:
        """Waits for the save in progress and seals it."""
        if self._saving:
            step, saving = self._saving
            self._saving = None
            self._write(step, saving.result)
            self._write(step, lambda: seal(self.directory, step) if processes.is_first() else None)

    def _write(self, step: int, f: Callable[[], None]) -> None:
        """Calls `f` on all processes; an error on any of them becomes a UserError on all."""

        def write():
            try:
                f()
            except Exception as error:  # orbax and its storage raise errors of any type
                raise UserError(
                    f"the checkpoint of step {step} could not be written to {self.directory}: "
                    + _first_line(error)
                ) from error

        try:
            processes.everyone(write)
        except UserError:
            self._failed = True
            raise

    def _set_aside(self, reasons: dict[int, str]) -> None:
        if reasons:
            processes.first(lambda: set_aside(self.directory, reasons))
            self._orbax.close()
            self._open()


def _root(error: BaseException) -> BaseException:
    """The error that caused `error`, directly or through others."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def _shapes(tree) -> dict[str, tuple[int, ...]]:
    """The shape of every array of a tree by its path, such as "params/w"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="/"): tuple(x.shape) for p, x in leaves}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _seal_of(directory: Path, step: int) -> Path:
    return directory / f"{step}.sha256"


def saved(directory: Path) -> list[int]:
    """Steps of the checkpoints in a directory, the newest first."""
    return sorted((int(p.name) for p in directory.glob("*") if p.name.isdecimal()), reverse=True)


def set_aside(directory: Path, reasons: dict[int, str]) -> None:
    """Renames the damaged checkpoints of these steps and prints a line for each."""
    for step, reason in reasons.items():
        print(
            f"panorax: the checkpoint of step {step} is damaged ({reason}); "
            "the previous one is used",
            file=sys.stderr,
        )
        with contextlib.suppress(OSError):
            (directory / str(step)).rename(directory / f"{step}.damaged")


def seal(directory: Path, step: int) -> None:
    """Writes the seal of a checkpoint beside it, and deletes seals of deleted checkpoints."""
    _seal_of(directory, step).write_text(json.dumps(digests(directory / str(step)), indent=0))
    for path in directory.glob("*.sha256"):
        if not (directory / path.stem).exists():
            path.unlink()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by relative path."""

    def digest(path):
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return {str(p.relative_to(folder)): digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def damages(directory: Path, error: str) -> dict[int, str]:
    """The damaged checkpoints of a directory that orbax cannot open because of `error`.

    Raises UserError if no checkpoint is damaged.
    """
    reasons = {step: damage(directory, step) for step in saved(directory)}
    damaged = {step: reason for step, reason in reasons.items() if reason}
    if not damaged:
        raise UserError(f"the checkpoints in {directory} cannot be opened: {error}")
    return damaged


def damage(directory: Path, step: int) -> str | None:
    """The first difference between a checkpoint and its seal, None if they agree.

    A process that is killed just before it seals leaves no seal; the checkpoint then counts as
    undamaged unless it is empty.
    """
    actual = digests(directory / str(step))
    if not actual:
        return "it is empty"
    try:
        sealed = {**json.loads(_seal_of(directory, step).read_bytes())}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, RecursionError):
        return "its seal is garbled"
    for name in sealed:
        if name not in actual:
            return f"{name} is missing"
        if actual[name] != sealed[name]:
            return f"{name} has changed"
    return None
