"""Runs a comparison from its config to its record, and finds ratios that fell below the record."""

import importlib
import tempfile
import time
from pathlib import Path
from types import ModuleType

from panorax.core import claims, config
from panorax.engine.provenance import provenance, reached

MAY_DROP = 0.25  # largest fall of a ratio, as a share of the recorded ratio


def load(name: str) -> ModuleType:
    """The config module of a comparison: get_config(), CLAIMS, and quick() for `--check`."""
    return importlib.import_module("panorax.configs." + name.replace("/", "."))


def measure(name: str, module: ModuleType, cfg) -> tuple[str, dict]:
    """Runs the comparison `cfg`.

    Returns the table as text, and the record for JSON: verdicts on the claims, metrics, rows,
    contenders that did not run, rounds, seconds, and the versions, device and commit.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        table = config.module_of(cfg).benchmark(cfg, Path(folder))
    record = {
        "config": name,
        **claims.judged(module.CLAIMS, table.metrics, config.differences(module.get_config(), cfg)),
        "metrics": {k: float(f"{v:.6g}") for k, v in table.metrics.items()},
        "unit": table.unit,
        "rows": table.rows,
        **({"refused": table.refused} if table.refused else {}),
        **({"machine": table.machine} if table.machine else {}),
        "rounds": cfg.rounds,
        "wall_seconds": round(time.perf_counter() - started, 1),
        "sources": reached(module, cfg),
        **provenance(),
    }
    return table.shown(), record


def dropped(now: dict, recorded: dict) -> list[str]:
    """One line for each ratio of Panorax that fell by more than `MAY_DROP` below its record.

    Ratios of other contenders are ignored.
    """
    ours = {
        name: x
        for name, x in now["metrics"].items()
        if "_panorax" in name and name.endswith("_ratio") and name in recorded["metrics"]
    }
    return [
        f"{now['config']}: {name} is {x:.3g}, {recorded['metrics'][name]:.3g} was recorded"
        for name, x in ours.items()
        if x < (1 - MAY_DROP) * recorded["metrics"][name]
    ]
