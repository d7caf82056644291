"""Every entry of the catalogue keeps the contract of `panorax.testing`.

A new entry is tested without a new line here.
"""

import dataclasses
import functools
import os

import pytest

from panorax import catalogue
from panorax.commands import experiment
from panorax.core import config, figures, spec
from panorax.engine import rundir
from panorax.testing import contract

# Names of the entries to test, set by `make check`; all by default.
ONLY = set(filter(None, os.environ.get("PANORAX_CONTRACT", "").split(",")))
ENTRIES = {e.name: e for e in catalogue.entries() if e.is_own and (not ONLY or e.name in ONLY)}
AT_FULL_SIZE = {
    "step_keeps_the_state_as_it_is",
    "is_planned_at_full_size",
    "every_axis_of_every_parameter_has_a_name",
    "fsdp_splits_parameters_and_optimiser",
}
OF_AN_ALGORITHM = {"seeds_side_by_side_are_seeds_alone", "eight_devices_equal_one"}


@pytest.fixture(autouse=True)
def every_figure_is_fit_for_a_paper(monkeypatch):
    """A smoke run fails if it writes a figure with faults."""
    write = rundir.write_figures

    def checked(directory, drawn, formats):
        faults = {n: figures.faults(x) for n, x in drawn.items() if not isinstance(x, str)}
        assert not any(faults.values()), faults
        write(directory, drawn, formats)

    monkeypatch.setattr(rundir, "write_figures", checked)


@functools.lru_cache(maxsize=1)
def checks(name):
    """The checks of an entry, which share compiled programs; one entry is cached at a time."""
    return contract.of(experiment.load(name)[1])


def kinds(cfg) -> tuple:
    """The types of a config and of its parts: networks, environments, optimisers."""
    parts = [getattr(cfg, field.name) for field in dataclasses.fields(cfg)]
    return type(cfg), *(kinds(part) for part in parts if dataclasses.is_dataclass(part))


def itself(cfg):
    return cfg


@functools.cache
def smoke_configs():
    return {name: experiment.load(name)[1].smoke() for name in ENTRIES}


@functools.cache
def first_of(value):
    """The first entry of each value of a smoke config."""
    values = {name: value(cfg) for name, cfg in smoke_configs().items()}
    return {
        name for name in ENTRIES if name == min(n for n in ENTRIES if values[n] == values[name])
    }


def is_kept(name: str, check: str) -> bool:
    """Whether an entry has a check.

    Presets that share a smoke config have it checked once. Presets of the same types, such as one
    algorithm in several environments, are checked on many devices and vmapped over seeds once.
    """
    if name not in first_of(itself):
        return check in AT_FULL_SIZE
    return name in first_of(kinds) or check not in OF_AN_ALGORITHM


def class_of(name):
    """The checks of an entry as a class of tests, which one process of the suite runs."""

    def method(check):
        return lambda self: checks(name)[check]()

    kept = [check for check in checks(name) if is_kept(name, check)]
    return type("Contract", (), {f"test_{check}": method(check) for check in kept})


for entry in ENTRIES:
    globals()["Test__" + entry.replace("/", "__")] = class_of(entry)


@pytest.mark.parametrize("name", [n for n, e in ENTRIES.items() if "PARAMETERS" in e.literals])
def test_parameter_counts_are_the_papers(name):
    cfg = experiment.load(name)[2]
    system = config.module_of(cfg).system(cfg)
    assert spec.count(system.spec) == ENTRIES[name].literals["PARAMETERS"]
