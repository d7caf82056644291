"""One comparison from config to record, and the guard against losing what was once reached."""

import importlib
import tempfile
import time
from pathlib import Path
from types import ModuleType

from panorax.core import claims, config
from panorax.engine.provenance import provenance

MAY_DROP = 0.25


def load(name: str) -> ModuleType:
    """The config module of a comparison: get_config(), quick() for the guard, CLAIMS."""
    return importlib.import_module("panorax.configs." + name.replace("/", "."))


def measure(name: str, module: ModuleType, cfg) -> tuple[str, dict]:
    """The table as text, and the record: claims checked, metrics, rows, what produced them."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        table = config.module_of(cfg).benchmark(cfg, Path(folder))
    record = {
        "config": name,
        "claims": claims.verdicts(module.CLAIMS, table.metrics),
        "metrics": {k: float(f"{v:.6g}") for k, v in table.metrics.items()},
        "unit": table.unit,
        "rows": table.rows,
        "rounds": cfg.rounds,
        "wall_seconds": round(time.perf_counter() - started, 1),
        **provenance(),
    }
    return table.shown(), record


def dropped(now: dict, recorded: dict) -> list[str]:
    """A line for every ratio of ours that fell by more than `MAY_DROP` of what was recorded; ratios of other contenders are not ours to guard."""
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
