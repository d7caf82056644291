"""The digest of the sources that a run reaches, on a package that the tests write."""

import pytest

from panorax import catalogue
from panorax.core import sources

CONFIG = """\
from panorax.core.claims import Claim
from panorax.rl.ppo import Config

BOUND = 1.0
CLAIMS = (Claim("eval_return", ">=", BOUND, "Panorax: a claim"),)
N = 4


def get_config() -> Config:
    return Config(n_envs=N)


def smoke() -> Config:
    return Config(n_envs=1)
"""
SYSTEM = """\
from panorax.core import figures
from panorax.ops.returns import gae as advantages


def system(cfg):
    return part(cfg), draw(cfg), draws(cfg)


def part(cfg):
    \"\"\"A part.\"\"\"
    return advantages(cfg)  # a comment


def draw(cfg):
    return figures.panels(2)


def draws(rng):
    return rng.normal(3)


def unused(cfg):
    return 1
"""


@pytest.fixture
def digest(tmp_path):
    """The digest after replacing a text of the config, and a text of the system."""
    count = iter(range(100))

    def after(config=("", ""), system=("", "")):
        folder = tmp_path / str(next(count))
        folder.mkdir()
        (folder / "config.py").write_text(CONFIG.replace(*config))
        (folder / "system.py").write_text(SYSTEM.replace(*system))
        return sources.digest(folder / "config.py", folder / "system.py")

    return after


@pytest.mark.parametrize(
    "config, system",
    [
        (("BOUND = 1.0", "BOUND = 2.0"), ("", "")),
        (("n_envs=1", "n_envs=2"), ("", "")),
        (("", ""), ("A part.", "Another text.")),
        (("", ""), ("  # a comment", "")),
        (("", ""), ("panels(2)", "panels(3)")),
        (("", ""), ("return 1", "return 2")),
        (("N = 4", "N = (\n    4\n)"), ("", "")),
    ],
)
def test_what_changes_no_number_changes_no_digest(digest, config, system):
    assert digest(config, system) == digest()


@pytest.mark.parametrize(
    "config, system",
    [
        (("N = 4", "N = 5"), ("", "")),
        (("n_envs=N", "n_envs=N, length=2"), ("", "")),
        (("", ""), ("advantages(cfg)", "advantages(cfg, 1)")),
        (("", ""), ("returns import gae as", "returns import td as")),
        (("", ""), ("normal(3)", "normal(4)")),
        (("", ""), ("part(cfg), ", "part(unused(cfg)), ")),
    ],
)
def test_what_may_change_a_number_changes_the_digest(digest, config, system):
    assert digest(config, system) != digest()


def test_an_import_inside_a_function_and_a_function_of_a_module_are_reached(tmp_path, monkeypatch):
    """A change of `gae` reaches a system that imports its module late and reads it from there."""
    (tmp_path / "config.py").write_text(CONFIG.replace("rl.ppo", "core.net"))
    late = "def system(cfg):\n    from panorax.ops import returns\n\n    return returns.gae(cfg)\n"
    (tmp_path / "system.py").write_text(late)
    files = (tmp_path / "config.py", tmp_path / "system.py")
    assert sources.imports(files[1]) == {"panorax.ops.returns"}
    before, source = sources.digest(*files), sources.source_of("panorax.ops.returns")
    where = sources.source_of.__wrapped__
    text = source.read_text()
    negated = text.replace("return _decayed_sums(delta", "return -_decayed_sums(delta")
    longer = text + "\n\ndef unreached():\n    return 1\n"
    for code, changes in ((negated, True), (longer, False)):
        edited = tmp_path / f"{changes}.py"
        edited.write_text(code)
        monkeypatch.setattr(
            sources, "source_of", lambda n: edited if n == "panorax.ops.returns" else where(n)
        )
        sources.digest.cache_clear()
        assert (sources.digest(*files) != before) == changes
    sources.digest.cache_clear()


def test_a_comparison_reaches_the_programs_that_it_starts():
    [entry] = [entry for entry in catalogue.benchmarks() if entry.name == "bench/ppo"]
    assert {"panorax.bench.sb3_ppo", "panorax.bench.panorax_ppo"} <= sources.closure(entry.module)


@pytest.mark.parametrize(
    "module, old, new, changes",
    [
        ("panorax.rl.environments.wrappers", "used | ended", "used", True),
        ("panorax.core.step", "fold_in(key, state.step)", "fold_in(key, 0)", True),
        ("panorax.core.optim", "peak_lr: Positive = ", "peak_lr: Positive = 2 * ", True),
        ("panorax.core.config", "did you mean", "perhaps", False),
        ("panorax.core.ranges", "must be", "has to be", False),
        ("panorax.ops.solvers", "/ 2", "/ 3", False),
    ],
)
def test_the_digest_follows_imports(tmp_path, monkeypatch, module, old, new, changes):
    entry = catalogue.find("rl/ppo_pendulum")
    before, source = sources.digest(entry.path, entry.source), sources.source_of(module)
    edited = tmp_path / source.name
    edited.write_text(source.read_text().replace(old, new))
    where = sources.source_of.__wrapped__
    monkeypatch.setattr(
        sources, "source_of", lambda name: edited if name == module else where(name)
    )
    sources.digest.cache_clear()
    assert (sources.digest(entry.path, entry.source) != before) == changes
    sources.digest.cache_clear()
