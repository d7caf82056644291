"""Checkpoints: orbax's v1 API behind one class. Saved asynchronously, the newest `keep` kept, restored onto any mesh.

Beside each checkpoint lies a seal, the SHA-256 of its files, written once it is complete. A checkpoint that no longer matches its seal, or cannot
be read, is set aside under the name `STEP.damaged`, and the one before it is used. With many processes all write to the same directory; the first
one seals, judges and sets aside, and all restore the same step.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from panorax.core.errors import UserError
from panorax.core.state import State
from panorax.parallel import processes


class Checkpoints:
    """The checkpoints of one run, in `directory`; a context manager that waits for the last save on leaving."""

    def __init__(self, directory: Path, keep: int = 2):
        self.directory, self._keep, self._saving, self._failed = (
            Path(directory).absolute(),
            keep,
            None,
            False,
        )
        self._open()

    def _open(self) -> None:
        from orbax.checkpoint import v1 as ocp

        policy = ocp.training.preservation_policies.LatestN(self._keep)
        context = ocp.Context()
        context.asynchronous.create_directories_asynchronously = (
            False  # where that fails, threads would wait 5 minutes for it, and exit for them
        )
        self._orbax = ocp.training.Checkpointer(
            self.directory,
            preservation_policy=policy,
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
            with contextlib.suppress(
                *([Exception] if self._failed else [])
            ):  # orbax says again what has been said
                self._orbax.close()

    def latest(self) -> int | None:
        """Step of the newest checkpoint, `None` if there is none."""
        newest = self._orbax.latest
        return None if newest is None else newest.step

    def save(self, state: State) -> None:
        """Start saving `state` under its step. It is on the host when this returns, so the caller may donate it to the next step."""
        step = int(state.step)
        if step != self.latest():
            self._finish()

            def start():
                self._saving = (
                    step,
                    self._orbax.save_checkpointables_async(step, {"state": state}, force=True),
                )

            self._write(step, start)

    def restore(self, abstract: State) -> State:
        """The newest checkpoint that is whole, with the shapes, dtypes and shardings of `abstract` (a tree of ShapeDtypeStruct).

        Raises UserError where there is none, or where none has this structure.
        """
        self._finish()
        steps = processes.first(lambda: saved(self.directory))
        if not steps:
            raise UserError(f"no checkpoint to resume from in {self.directory}")
        wrong = {}
        for step in steps:
            state, reason = None, processes.first(lambda: damage(self.directory, step))
            if reason is None:
                state, reason = self._load(step, abstract)
            if reason is None:
                self._set_aside(wrong)
                return state
            wrong[step] = reason
        raise UserError(
            f"no checkpoint in {self.directory} is whole and fits this config; step {steps[0]}: {wrong[steps[0]]}"
        )

    def _load(self, step: int, abstract: State) -> tuple[State | None, str | None]:
        """The state saved at `step`, or what kept a process from loading it."""
        loaded = {}

        def load():
            try:
                loaded.update(self._orbax.load_checkpointables(step, {"state": abstract}))
            except Exception as error:  # orbax and its storage raise whatever they met
                return str(error).strip().splitlines()[0][:300]

        reason = next(filter(None, processes.everyone(load)), None)
        return loaded.get("state"), reason

    def _finish(self) -> None:
        """Wait for the save under way and seal it."""
        if self._saving:
            step, saving = self._saving
            self._saving = None
            self._write(step, saving.result)
            self._write(step, lambda: seal(self.directory, step) if processes.is_first() else None)

    def _write(self, step: int, f: Callable[[], None]) -> None:
        """Whatever keeps a checkpoint from being written on any process becomes one line on all; those before it are untouched."""

        def write():
            try:
                f()
            except Exception as error:  # orbax and its storage raise whatever they met
                reason = str(error).strip().splitlines()[0][:300]
                raise UserError(
                    f"the checkpoint of step {step} could not be written to {self.directory}: {reason}"
                ) from error

        try:
            processes.everyone(write)
        except UserError:
            self._failed = True
            raise

    def _set_aside(self, wrong: dict[int, str]) -> None:
        if wrong:
            processes.first(lambda: set_aside(self.directory, wrong))
            self._orbax.close()
            self._open()


def saved(directory: Path) -> list[int]:
    """Steps of the checkpoints in a directory, the newest first."""
    return sorted((int(p.name) for p in directory.glob("*") if p.name.isdecimal()), reverse=True)


def set_aside(directory: Path, wrong: dict[int, str]) -> None:
    """Rename the checkpoints of these steps, and say why."""
    for step, reason in wrong.items():
        print(
            f"panorax: the checkpoint of step {step} is damaged ({reason}); the one before it is used",
            file=sys.stderr,
        )
        with contextlib.suppress(OSError):
            (directory / str(step)).rename(directory / f"{step}.damaged")


def seal(directory: Path, step: int) -> None:
    """Write the SHA-256 of every file of a checkpoint beside it; seals of checkpoints that are gone go."""
    (directory / f"{step}.sha256").write_text(json.dumps(digests(directory / str(step)), indent=0))
    for path in directory.glob("*.sha256"):
        if not (directory / path.stem).exists():
            path.unlink()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by relative path."""

    def digest(path):
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return {str(p.relative_to(folder)): digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def damage(directory: Path, step: int) -> str | None:
    """What differs between a checkpoint and its seal, `None` if nothing does; without a seal (killed just before it) only emptiness is seen."""
    path = directory / f"{step}.sha256"
    now = digests(directory / str(step))
    if not now:
        return "it is empty"
    try:
        sealed = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return "its seal is garbled"
    for name in sealed:
        if name not in now:
            return f"{name} is missing"
        if now[name] != sealed[name]:
            return f"{name} has changed"
    return None
