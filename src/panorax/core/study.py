"""A study as named parts: each measures one thing, has its own key, and returns a Result.

The module of a study defines `study(cfg) -> {name: part}` with `part(key) -> Result`. The engine
shows the part that runs, keeps each finished part, and resumes at the first unfinished one.
Notebooks and tests call `measured`.
"""

from collections.abc import Callable, Iterable, Mapping

import jax
import numpy as np

from panorax.core.state import Result

Part = Callable[[jax.Array], Result]


def keys_of(parts: Mapping[str, Part], key: jax.Array) -> dict[str, jax.Array]:
    """The key of each part, `fold_in(key, position)`; appending a part changes no other key."""
    return {name: jax.random.fold_in(key, i) for i, name in enumerate(parts)}


def numpy_generator(key: jax.Array) -> np.random.Generator:
    """NumPy's generator seeded by `key`, for a part that draws on the host."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def measured(parts: Mapping[str, Part], key: jax.Array) -> Result:
    """Runs all parts in order in memory and returns their joined Result."""
    return joined(parts[name](part_key) for name, part_key in keys_of(parts, key).items())


def joined(results: Iterable[Result]) -> Result:
    """The metrics and figures of all `results`.

    Raises ValueError if two results have a metric or a figure of the same name.
    """
    metrics, figures = {}, {}
    for result in results:
        shared = (metrics.keys() & result.metrics.keys()) | (figures.keys() & result.figures.keys())
        if shared:
            raise ValueError(f"two parts of a study measure or draw {', '.join(sorted(shared))}")
        metrics |= result.metrics
        figures |= result.figures
    return Result(metrics, figures)


def family(pattern: str, values: Mapping) -> dict[str, float]:
    """Metrics named by filling the braces of `pattern` with each key of `values`.

    A key that is a tuple fills several braces: `family("{}_steps_{}", {("bowl", "adam"): 3})` is
    `{"bowl_steps_adam": 3.0}`. The pattern is a literal in the source, so that grep finds it.
    """
    return {
        pattern.format(*(key if isinstance(key, tuple) else (key,))): float(value)
        for key, value in values.items()
    }
