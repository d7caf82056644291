"""Metrics of a run: JSON lines, TensorBoard events, and a figure of the curves."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from panorax.core import figures, files
from panorax.core.errors import UserError
from panorax.engine.progress import Bar

CURVES = 6  # largest number of panels of curves.png


class Log:
    """Writes `metrics.jsonl` and TensorBoard events into a run directory, and shows progress.

    Opened at step `start`, the Log first drops the records of later steps, so that a resumed run
    has neither gaps nor repeats. Progress goes to `out`, stdout by default.
    """

    def __init__(self, directory: Path, start: int = 0, out=None):
        from tensorboardX import SummaryWriter

        self.path = directory / "metrics.jsonl"
        kept = [r for r in read_metrics(self.path) if r["step"] <= start]
        files.replace(self.path, "".join(files.as_json(r) + "\n" for r in kept))
        self._evaluated = {r["step"] for r in kept if r["split"] == "eval"}
        self._file = self.path.open("a")
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=start + 1)
        self._bar = Bar(out or sys.stdout)

    def __enter__(self):
        self._bar.open()
        return self

    def __exit__(self, *exc):
        self._bar.close()
        self._file.close()
        self._board.close()

    def start(self, step: int, steps: int) -> None:
        """Declares that training goes from `step` to `steps`."""
        self._steps = steps
        self._bar.start(step, steps)

    def train(self, step: int, metrics: dict[str, float]) -> None:
        """Records the metrics of the chunk that ends at `step`."""
        self._write(step, "train", metrics)
        self._bar.update(step, metrics["loss"])

    def evaluation(self, step: int, metrics: dict[str, float]) -> None:
        """Records and prints the evaluation at `step`; if it is recorded already, only prints."""
        if step not in self._evaluated:
            self._write(step, "eval", metrics)
        values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self._bar.above(f"step {step}/{self._steps}  {values}")

    def above(self, line: str) -> None:
        """Prints a line that stays, above the progress."""
        self._bar.above(line)

    def _write(self, step, split, metrics):
        self._file.write(files.as_json({"step": step, "split": split, **metrics}) + "\n")
        self._file.flush()
        for name, value in metrics.items():
            self._board.add_scalar(f"{split}/{name}", value, step)


class Silence:
    """The Log of every process except the first: it records and prints nothing."""

    def start(self, step: int, steps: int) -> None:
        pass

    def train(self, step: int, metrics: dict[str, float]) -> None:
        pass

    def evaluation(self, step: int, metrics: dict[str, float]) -> None:
        pass

    def above(self, line: str) -> None:
        pass


def read_metrics(path: Path) -> list[dict]:
    """The records of a metrics.jsonl, without a last line that a crash left incomplete.

    Raises UserError for any other line that is not a record.
    """
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [_record(path, n, line) for n, line in enumerate(lines[:-1], 1) if line]


def _record(path: Path, n: int, line: bytes) -> dict:
    try:
        record = json.loads(line)
        return {"step": int(record["step"]), "split": record["split"] + "", **record}
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path}, line {n}: expected metrics of a step; delete this line"
        ) from error


def draw_curves(
    records: list[dict],
    per_step: Mapping[str, int],
    units: Mapping[str, str] = MappingProxyType({}),
):
    """A Figure of metrics during training: training as a line, evaluations as dots.

    Each metric has a panel. At most `CURVES` metrics are drawn, evaluated metrics first. The
    horizontal axis counts training steps or, if `per_step` has them, environment steps.
    units: unit of each metric that has one, without the prefix `eval_`.
    """
    of_step = per_step.get("environment_steps", 1)
    axis = "environment steps" if "environment_steps" in per_step else "step"
    names = list(dict.fromkeys(k for r in records for k in r if k not in ("step", "split")))
    evaluated = [name.removeprefix("eval_") for name in names if name.startswith("eval_")]
    trained = [name for name in names if not name.startswith("eval_")]
    shown = list(dict.fromkeys((*evaluated, *trained)))[:CURVES]
    columns = min(3, len(shown)) or 1
    figure, axes = figures.panels(columns, -(-len(shown) // columns) or 1, width=4.2, height=2.8)
    for ax, name in zip(axes, shown):
        for key, style, label in ((name, "-", "training"), (f"eval_{name}", "o-", "held out")):
            points = [(of_step * r["step"], r[key]) for r in records if r.get(key) is not None]
            if points:
                ax.plot(*zip(*points), style, ms=3, lw=1.2, label=label)
        unit = f"\n({units[name]})" if name in units else ""
        ax.set(xlabel=axis, ylabel=name.replace("_", " ") + unit)
        ax.locator_params(axis="x", nbins=5)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    return figures.legends(figure)
