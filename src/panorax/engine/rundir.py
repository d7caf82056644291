"""The directory of a run: held by one process at a time, resumed only as the same run.

`run`, `optim` and options without a dot (learning rate, batch size, number of steps) may change
when a run is resumed. Every other nested part of the config, and the seed, must stay.
`resumes.jsonl` records the changes, also of the mesh, and `config.json` holds the newest config.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from panorax.core import config
from panorax.core.errors import UserError
from panorax.core.files import replace, writing

MAY_CHANGE = ("run", "optim")


@contextlib.contextmanager
def entered(
    directory: Path, cfg, mesh: str, resume: bool, step: Callable[[], int]
) -> Iterator[None]:
    """Locks `directory` for a new run of `cfg` or, with `resume`, for the run that it holds.

    mesh: text of the mesh, which the directory keeps.
    step: function that returns the step from which a run is resumed.

    Raises UserError if the directory cannot be written or another process holds it. A new run also
    raises it if the directory holds any file, a resumed run if the directory holds no run, a
    different run, or a run that has taken more steps. A new run that ends with UserError before its
    first metrics or its first finished part leaves no files.
    """
    config_path = directory / "config.json"
    with writing(directory):
        if config_path.exists() and not resume:
            raise UserError(
                f"{directory} already holds a run; --resume continues it, "
                "another --workdir starts a new one"
            )
        before = stored(directory) if resume else None
        new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):
            existing = set(directory.iterdir())
            if resume:
                _continue(directory, *before, cfg, mesh, step())
            else:
                _refuse_foreign(directory, existing)
            replace(config_path, config.to_json(cfg, mesh=mesh))
            try:
                yield
            except UserError:
                started = (directory / "metrics.jsonl").exists() or (directory / "parts").exists()
                if not resume and not started:
                    _forget(set(directory.iterdir()) - existing)
                    if new:
                        directory.rmdir()
                raise


def _continue(directory: Path, before, flags: dict[str, str], cfg, mesh: str, step: int) -> None:
    """Checks that `cfg` may continue the run of the config `before`, and says what differs."""
    changes(directory)  # the result needs earlier changes, so a damaged file counts before training
    trains = hasattr(cfg, "run")
    changed = config.differences(before, cfg)
    refuse(directory, changed, may_change=MAY_CHANGE if trains else None)
    if trains and cfg.run.steps < step:
        raise UserError(
            f"{directory} has taken {step} steps: --run.steps {cfg.run.steps} is too few; "
            "give at least as many"
        )
    if mesh != flags.get("mesh", mesh):
        changed["mesh"] = (flags["mesh"], mesh)
    with (directory / "resumes.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "changed": changed}, default=str) + "\n")
    position = f" at step {step} of {cfg.run.steps}" if trains else ""
    listed = [
        f"{name} {after or 'none'} (was {was or 'none'})" for name, (was, after) in changed.items()
    ]
    print(
        f"continuing {directory}{position} with",
        ", ".join(listed) or "the options it was started with",
        flush=True,
    )


def _refuse_foreign(directory: Path, existing: set[Path]) -> None:
    """Raises UserError if a new run could overwrite files; hidden files are ignored."""
    foreign = sorted(p.name for p in existing if not p.name.startswith("."))
    if foreign:
        raise UserError(
            f"{directory} holds files that are not of a run: {', '.join(foreign[:3])}"
            f"{', ...' if foreign[3:] else ''}; give an empty or a new --workdir"
        )


def _forget(paths: set[Path]) -> None:
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def stored(directory: Path) -> tuple[object, dict[str, str]]:
    """The config of a run directory, and the flags it was started with: its mesh.

    Raises UserError for any other directory, and for a config that cannot be read.
    """
    path = directory / "config.json"
    if not path.is_file():
        raise UserError(f"{directory} is not the directory of a run: it has no config.json")
    try:
        return config.from_json(path.read_bytes())
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def changes(directory: Path) -> dict[str, tuple]:
    """Options that were changed when the run in `directory` was resumed, with the last change."""
    path = directory / "resumes.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    try:
        return {name: x for line in lines for name, x in json.loads(line)["changed"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged: expected one change per line") from error


def refuse(directory: Path, changed: dict[str, tuple], may_change: tuple[str, ...] | None) -> None:
    """Raises UserError if a changed option would make the resumed run a different run.

    changed: the result of `differences`.
    may_change: nested parts of the config that may change, besides options without a dot. None for
    a study, which may change no option, because its finished parts belong to one config.
    """
    fixed = [
        name
        for name in changed
        if may_change is None
        or name in ("seed", "run.seed")
        or ("." in name and name.split(".")[0] not in may_change)
    ]
    if not fixed:
        return
    listed = ", ".join(
        f"{name} was {changed[name][0]} and is now {changed[name][1]}" for name in fixed[:3]
    )
    if may_change is None:
        rule = "a study resumes with the options it was started with"
    else:
        rule = f"only {', '.join(may_change)} and options without a dot may change"
    raise UserError(f"cannot resume {directory}: {listed}; {rule}")


def keep(directory: Path, files: dict[str, str]) -> None:
    """Writes the files that a run keeps beside its config, texts by name.

    Raises UserError if a resumed run would change a file.
    """
    for name, text in files.items():
        path = directory / name
        if path.exists() and path.read_bytes() != text.encode():
            raise UserError(
                f"cannot resume {directory}: the data have changed, "
                f"{name} made from them differs from the {name} of the run"
            )
        replace(path, text)


def write_figures(directory: Path, figures: dict, formats: Sequence[str] = ("png",)) -> None:
    """Writes a str as a text file and a matplotlib Figure as pictures, under their names.

    formats: suffixes of the pictures, "png" and "pdf".
    """
    for name, figure in figures.items():
        if isinstance(figure, str):
            (directory / name).write_text(figure, encoding="utf-8")
            continue
        for suffix in formats:
            figure.savefig((directory / name).with_suffix(f".{suffix}"), dpi=110)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Locks the directory itself; the lock ends with the process, however the process ends."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"another process is running in {directory}") from None
    finally:
        os.close(descriptor)
