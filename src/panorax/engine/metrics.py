"""Metrics of a run: JSON lines, TensorBoard events, progress on the terminal, and a figure of the curves."""

import json
import sys
import time
from pathlib import Path

from panorax.core import files


class Log:
    """Writes `metrics.jsonl` and TensorBoard events into a run's directory, and progress to the terminal.

    Opened at step `start`, records of later steps are dropped first, so that a resumed run has neither gaps nor repeats.
    Not on a terminal, only evaluations are printed.
    """

    def __init__(self, directory: Path, start: int = 0, out=None):
        from tensorboardX import SummaryWriter

        self.path = directory / "metrics.jsonl"
        kept = [r for r in read_metrics(self.path) if r["step"] <= start]
        files.replace(self.path, "".join(json.dumps(r) + "\n" for r in kept))
        self._evaluated = {r["step"] for r in kept if r["split"] == "eval"}
        self._file = self.path.open("a")
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=start + 1)
        self._out = out or sys.stdout
        self._width = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._clear()
        self._file.close()
        self._board.close()

    def start(self, step: int, steps: int) -> None:
        """Starts the clock of the progress line for steps `step` .. `steps`."""
        self._first, self._steps, self._since = step, steps, time.perf_counter()

    def train(self, step: int, metrics: dict[str, float]) -> None:
        self._write(step, "train", metrics)
        if self._out.isatty():
            rate = (step - self._first) / (time.perf_counter() - self._since)
            left = time.strftime("%M:%S", time.gmtime((self._steps - step) / rate))
            line = f"step {step}/{self._steps}  loss {metrics['loss']:.4f}  {rate:.1f} steps/s  {left} left"
            self._out.write("\r" + line.ljust(self._width))
            self._out.flush()
            self._width = len(line)

    def evaluation(self, step: int, metrics: dict[str, float]) -> None:
        if step not in self._evaluated:
            self._write(step, "eval", metrics)
        self._clear()
        print(
            f"step {step}/{self._steps}  " + "  ".join(f"{k} {v:.4g}" for k, v in metrics.items()),
            file=self._out,
            flush=True,
        )

    def _write(self, step, split, metrics):
        self._file.write(json.dumps({"step": step, "split": split, **metrics}) + "\n")
        self._file.flush()
        for name, value in metrics.items():
            self._board.add_scalar(f"{split}/{name}", value, step)

    def _clear(self):
        if self._width:
            self._out.write("\r" + " " * self._width + "\r")
            self._width = 0


class Silence:
    """The log of every process but the first: it writes nothing."""

    def start(self, step: int, steps: int) -> None:
        pass

    def train(self, step: int, metrics: dict[str, float]) -> None:
        pass

    def evaluation(self, step: int, metrics: dict[str, float]) -> None:
        pass


def read_metrics(path: Path) -> list[dict]:
    """The records of a metrics.jsonl, without a last line that a crash cut short."""
    lines = path.read_text().split("\n") if path.exists() else []
    return [json.loads(line) for line in lines[:-1] if line]


def curves(records: list[dict]):
    """A matplotlib Figure of every metric against the step, one panel each, evaluations as dots."""
    from matplotlib.figure import Figure

    names = list(
        dict.fromkeys(
            k.removeprefix("eval_") for r in records for k in r if k not in ("step", "split")
        )
    )
    columns = min(3, len(names)) or 1
    lines = -(-len(names) // columns) or 1
    figure = Figure(figsize=(4.2 * columns, 2.8 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax, name in zip(axes, names):
        for key, style, label in ((name, "-", "training"), (f"eval_{name}", "o-", "held out")):
            points = [(r["step"], r[key]) for r in records if key in r]
            if points:
                ax.plot(*zip(*points), style, ms=3, lw=1.2, label=label)
        ax.set(title=name.replace("_", " "), xlabel="step")
        ax.grid(alpha=0.3)
        ax.legend(fontsize=7, frameon=False)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    return figure
