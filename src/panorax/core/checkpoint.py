"""Checkpoints: orbax's v1 API behind one class. Saved asynchronously, the newest `keep` kept, restored onto any mesh."""

from pathlib import Path

from panorax.core.errors import UserError
from panorax.core.state import State


class Checkpoints:
    """The checkpoints of one run, in `directory`; a context manager that waits for the last save on leaving."""

    def __init__(self, directory: Path, keep: int = 2):
        from orbax.checkpoint import v1 as ocp

        self.directory = Path(directory).absolute()
        self._saving = None
        self._orbax = ocp.training.Checkpointer(
            self.directory, preservation_policy=ocp.training.preservation_policies.LatestN(keep), cleanup_tmp_directories=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._orbax.close()

    def latest(self) -> int | None:
        """Step of the newest checkpoint, `None` if there is none."""
        newest = self._orbax.latest
        return None if newest is None else newest.step

    def save(self, state: State) -> None:
        """Start saving `state` under its step. It is on the host when this returns, so the caller may donate it to the next step."""
        step = int(state.step)
        if step != self.latest():
            self._saving = self._orbax.save_checkpointables_async(step, {"state": state}, force=True)

    def restore(self, abstract: State) -> State:
        """The newest checkpoint, with the shapes, dtypes and shardings of `abstract` (a tree of ShapeDtypeStruct).

        Raises UserError where there is none, or where it does not have this structure.
        """
        if self._saving:
            self._saving.result()
        if self.latest() is None:
            raise UserError(f"no checkpoint to resume from in {self.directory}")
        try:
            return self._orbax.load_checkpointables(None, {"state": abstract})["state"]
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"the checkpoint in {self.directory} does not fit this config: {reason}") from error
