"""Checkpoints: orbax's v1 API behind one class. Saved asynchronously, the newest `keep` kept, restored onto any mesh.

Beside each checkpoint lies a seal, the SHA-256 of its files, written once it is complete. A checkpoint that no longer matches its seal, or cannot
be read, is set aside under the name `STEP.damaged`, and the one before it is used.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from panorax.core.errors import UserError
from panorax.core.state import State


class Checkpoints:
    """The checkpoints of one run, in `directory`; a context manager that waits for the last save on leaving."""

    def __init__(self, directory: Path, keep: int = 2):
        self.directory, self._keep, self._saving, self._failed = Path(directory).absolute(), keep, None, False
        self._open()

    def _open(self) -> None:
        from orbax.checkpoint import v1 as ocp

        policy = ocp.training.preservation_policies.LatestN(self._keep)
        self._orbax = ocp.training.Checkpointer(self.directory, preservation_policy=policy, cleanup_tmp_directories=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        try:
            self._finish()
        finally:
            with contextlib.suppress(*([Exception] if self._failed else [])):  # orbax says again what has been said
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
            with self._writing(step):
                self._saving = step, self._orbax.save_checkpointables_async(step, {"state": state}, force=True)

    def restore(self, abstract: State) -> State:
        """The newest checkpoint that is whole, with the shapes, dtypes and shardings of `abstract` (a tree of ShapeDtypeStruct).

        Raises UserError where there is none, or where none has this structure.
        """
        self._finish()
        steps = sorted((int(p.name) for p in self.directory.glob("*") if p.name.isdecimal()), reverse=True)
        if not steps:
            raise UserError(f"no checkpoint to resume from in {self.directory}")
        wrong = {}
        for step in steps:
            wrong[step] = damage(self.directory, step)
            if wrong[step] is None:
                try:
                    state = self._orbax.load_checkpointables(step, {"state": abstract})["state"]
                except Exception as error:  # orbax and its storage raise whatever they met
                    wrong[step] = str(error).strip().splitlines()[0]
                else:
                    self._set_aside({s: reason for s, reason in wrong.items() if reason})
                    return state
        raise UserError(f"no checkpoint in {self.directory} is whole and fits this config; step {steps[0]}: {wrong[steps[0]]}")

    def _finish(self) -> None:
        """Wait for the save under way and seal it; seals of checkpoints that are gone go."""
        if self._saving:
            step, saving = self._saving
            self._saving = None
            with self._writing(step):
                saving.result()
                seal(self.directory, step)
            for path in self.directory.glob("*.sha256"):
                if not (self.directory / path.stem).exists():
                    path.unlink()

    @contextlib.contextmanager
    def _writing(self, step: int) -> Iterator[None]:
        """Whatever keeps a checkpoint from being written becomes one line; those before it are untouched."""
        try:
            yield
        except Exception as error:  # orbax and its storage raise whatever they met
            self._failed = True
            reason = str(error).strip().splitlines()[0][:300]
            raise UserError(f"the checkpoint of step {step} could not be written to {self.directory}: {reason}") from error

    def _set_aside(self, wrong: dict[int, str]) -> None:
        for step, reason in wrong.items():
            print(f"panorax: the checkpoint of step {step} is damaged ({reason}); the one before it is used", file=sys.stderr)
            with contextlib.suppress(OSError):
                (self.directory / str(step)).rename(self.directory / f"{step}.damaged")
        if wrong:
            self._orbax.close()
            self._open()


def seal(directory: Path, step: int) -> None:
    """Write the SHA-256 of every file of a checkpoint beside it."""
    (directory / f"{step}.sha256").write_text(json.dumps(digests(directory / str(step)), indent=0))


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
