"""The directory of a run: written by one process at a time, and continued only as the run it is.

What is trained and on what stays as it was: every nested part of a config but `run` and `optim`, and the seed. Anything else (learning rate, batch
size, number of steps, ...) may change when a run is resumed; what changed is kept in `resumes.jsonl`, and each new config in `config.json`.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from panorax.core import config
from panorax.core.errors import UserError
from panorax.core.files import replace, writing

MAY_CHANGE = ("run", "optim")


@contextlib.contextmanager
def entered(directory: Path, cfg, resume: bool, step: Callable[[], int | None]) -> Iterator[None]:
    """Hold `directory` for the run of `cfg`: a new one, or with `resume` the one that was started there. `step()` is where that one stands.

    Raises UserError where the directory cannot be written, another process holds it, it does or does not hold a run already, or
    holds one of something else. What is refused before its first step, for its data or its mesh, leaves nothing behind.
    """
    written = directory / "config.json"
    if written.exists() and not resume:
        raise UserError(
            f"{directory} already holds a run; --resume continues it, another --workdir starts a new one"
        )
    if resume and not written.exists():
        raise UserError(f"{directory} holds no run to resume")
    with writing(directory):
        new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):
            before = set(directory.iterdir())
            if resume:
                changed = differences(config.from_json(written.read_text()), cfg)
                refuse(directory, changed, may_change=MAY_CHANGE if hasattr(cfg, "run") else None)
                with (directory / "resumes.jsonl").open("a") as file:
                    file.write(
                        json.dumps({"step": step() or 0, "changed": changed}, default=str) + "\n"
                    )
            replace(written, config.to_json(cfg))
            try:
                yield
            except UserError:
                if not resume and not (directory / "metrics.jsonl").exists():
                    _forget(set(directory.iterdir()) - before)
                    if new:
                        directory.rmdir()
                raise


def _forget(paths: set[Path]) -> None:
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def differences(before, after) -> dict[str, tuple]:
    """Options that differ between two configs, `{"optim.peak-lr": (before, after)}`, `None` where there is no such option."""
    a, b = config.leaves(before), config.leaves(after)
    return {
        name: (a.get(name), b.get(name))
        for name in (*a, *(b.keys() - a.keys()))
        if a.get(name) != b.get(name)
    }


def refuse(directory: Path, changed: dict[str, tuple], may_change: tuple[str, ...] | None) -> None:
    """Raises UserError if a changed option would make it another run.

    may_change: nested parts of the config that may change, beside options without a dot; None for
    a study, whose finished parts hold for one config only.
    """
    fixed = [
        name
        for name in changed
        if may_change is None
        or name in ("seed", "run.seed")
        or ("." in name and name.split(".")[0] not in may_change)
    ]
    if fixed:
        differ = ", ".join(
            f"{name} was {changed[name][0]} and is now {changed[name][1]}" for name in fixed[:3]
        )
        free = (
            "a study resumes with the options it was started with"
            if may_change is None
            else f"only {', '.join(may_change)} and options without a dot may change"
        )
        raise UserError(f"cannot resume {directory}: {differ}; {free}")


def keep(directory: Path, files: dict[str, str]) -> None:
    """Write what a run keeps beside its config. Raises UserError where a resumed run would write something else."""
    for name, text in files.items():
        path = directory / name
        if path.exists() and path.read_text() != text:
            raise UserError(
                f"cannot resume {directory}: {name} made from the data of today differs from that of the run; the data has changed"
            )
        replace(path, text)


def write_figures(directory: Path, figures: dict) -> None:
    """Writes a str as a text file and a matplotlib Figure as a picture, under their names."""
    for name, figure in figures.items():
        if isinstance(figure, str):
            (directory / name).write_text(figure)
        else:
            figure.savefig(directory / name, dpi=110)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """The lock is on the directory itself and goes with the process, however that ends."""
    held = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"another process is running in {directory}") from None
    finally:
        os.close(held)
